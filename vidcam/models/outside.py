"""Networks seen from outside: a function of windows, an exported program or an ONNX file, whose layers cannot be observed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from vidcam.cam.inputs import forward
from vidcam.errors import ModelError, SettingsError

_CLOSE = 1e-2  # difference of outputs, as a share of their size; kernels stay far below


class Outside(nn.Module):
    """Network without layers: a function, run as a module.

    Args:
        function: takes what the network takes and returns its output; arrays of NumPy in it become tensors.

    Attributes:
        function: as given.
        one_by_one: True to run the windows of a batch one after the other.

    Example:
        >>> network = Outside(lambda windows: windows.mean((2, 3, 4)).numpy())
        >>> network(torch.zeros(2, 3, 4, 8, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.__dict__["function"] = function  # no submodule, where it is a module
        self.one_by_one = False

    def __deepcopy__(self, memo: Any) -> Outside:
        return self  # a function of others may not be copied, and has nothing of its own to change

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function's output."""
        windows = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not self.one_by_one or not windows:
            return self._run(args, kwargs)
        found = []
        for index in range(len(windows[0])):
            own_args, own_kwargs = tree_map(lambda leaf, i=index: _row(leaf, i), (args, kwargs))
            found.append(self._run(own_args, own_kwargs))
        return tree_map(lambda *rows: torch.cat(rows) if isinstance(rows[0], Tensor) else rows[0], *found)

    def _run(self, args: Any, kwargs: Any) -> Any:
        output = self.__dict__["function"](*args, **kwargs)
        return tree_map(lambda leaf: torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf, output)


def _row(leaf: Any, index: int) -> Any:
    return leaf[index : index + 1] if isinstance(leaf, Tensor) else leaf


def as_module(network: Any, name: str) -> nn.Module:
    """Return a network as a module: itself if its layers can be observed, otherwise as an `Outside`.

    Args:
        network: a module, a program of `torch.export`, its module, a TorchScript module, or a function.
        name: for messages.

    Raises:
        ModelError: it is none of these.
    """
    if isinstance(network, torch.export.ExportedProgram):
        network = network.module()
    if isinstance(network, nn.Module) and not isinstance(network, torch.jit.ScriptModule):
        try:
            network.eval()
            return network
        except (AttributeError, NotImplementedError):  # the module of an exported program cannot do it
            return Outside(network)
    if not callable(network):
        raise ModelError(
            f"{name} is a {type(network).__name__}; give an nn.Module, a program of torch.export, or a function of windows; for "
            "an ONNX file, what vidcam.models.outside.onnx_network returns"
        )
    return Outside(network)


def check_runs(network: Outside, name: str, window: Tensor, pack: Callable[[Tensor], Any]) -> None:
    """Run a network on noise, alone and in a batch, and set `one_by_one` where it does not treat windows by themselves.

    Args:
        network: changed in place.
        name: for messages.
        window: one, (1, 3, T, H, W); its values do not matter.
        pack: returns the network's input, given windows.

    Raises:
        ModelError: a window has another output in a second run.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(window.shape, generator=generator).to(window) for _ in range(2))

    def leaves(windows: Tensor) -> list[Tensor]:
        output = forward(network, pack(windows))
        return [leaf.detach().float() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]

    with torch.inference_mode():
        alone, again = leaves(second), leaves(second)
        if not all(map(_close, alone, again)):
            raise ModelError(
                f"{name} gives a window another output in a second run: something random is left in it, such as a dropout; "
                "switch it off, and export the network in evaluation mode"
            )
        try:
            beside = [leaf[1:] if leaf.ndim else leaf for leaf in leaves(torch.cat([first, second]))]
            network.one_by_one = len(beside) != len(alone) or not all(map(_close, alone, beside))
        except Exception:  # somebody else's code may raise anything: it takes one window alone
            network.one_by_one = True


def _close(one: Tensor, other: Tensor) -> bool:
    """Return True if outputs are the same but for rounding."""
    return (
        one.shape == other.shape and bool((one - other).abs().max() <= _CLOSE * one.abs().max())
        if one.numel()
        else True
    )


def onnx_network(path: str | Path) -> Callable[..., Any]:
    """Return the network of an ONNX file as a function of tensors, run by onnxruntime on the CPU.

    Its inputs are given in their order, or by name; an output of several is a dictionary by name.

    Args:
        path: of the file.

    Raises:
        SettingsError: onnxruntime is not installed.
        ModelError: the file cannot be loaded.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(f"onnxruntime is not installed ({error.name}): pip install 'vidcam[onnx]'") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # kinds of its own, of a private module
        raise ModelError(f"{path} cannot be loaded as an ONNX file ({' '.join(str(error).split())[:200]})") from error
    dtypes = {given.name: _DTYPES.get(given.type) for given in session.get_inputs()}
    outputs = [output.name for output in session.get_outputs()]

    def run(*args: Tensor, **kwargs: Tensor) -> Any:
        given = {**dict(zip(dtypes, args)), **kwargs}
        arrays = {name: tensor.detach().cpu().numpy().astype(dtypes.get(name)) for name, tensor in given.items()}
        found = dict(zip(outputs, session.run(None, arrays)))
        return found if len(found) > 1 else found[outputs[0]]

    run.__name__ = Path(path).name
    return run


_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
