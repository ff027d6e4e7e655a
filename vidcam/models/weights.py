"""Checkpoints: read without running code, and loaded into a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vidcam.errors import ModelError
from vidcam.models.pickled import load_pickled
from vidcam.untrusted.files import open_regular
from vidcam.untrusted.text import fitted, one_line, shortened

State = Mapping[str, Tensor]

NEED_NO_DOWNLOAD = "The bundled networks playground-r2plus1d and playground-c3d need no download"

_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}

_WRAPPERS = ("module.", "model.", "_orig_mod.")


def read_state(path: Path) -> State:
    """Return the parameters in a .safetensors, .pth, .pt or .pickle file; code in a pickle is never run.

    The tensors may be pages of the file, in the type they are stored in; `load_into` copies and converts them.

    Raises:
        ModelError: the file is missing, damaged, would have to run code, claims more numbers than it holds, or holds
            no parameters.
    """
    if not path.is_file():
        raise ModelError(
            f"weights file {path} does not exist; give a .pth, .pt or .safetensors file, or default, or none"
        )
    try:
        loaded: object = _load_safetensors(path) if path.suffix == ".safetensors" else load_pickled(path)
    except Exception as error:  # on a damaged file torch and safetensors raise anything: IndexError, struct.error, ...
        reason = one_line(str(error)) or type(error).__name__
        raise ModelError(
            f"weights file {path} cannot be read as plain parameters ({reason}); "
            "give a complete file with a state dict of tensors, saved by torch.save or safetensors"
        ) from error
    for wrapper in ("state_dict", "model", "model_state"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not any(isinstance(v, Tensor) for v in loaded.values()):
        raise ModelError(
            f"weights file {path} holds a {type(loaded).__name__}, not a state dict of tensors; give one that does"
        )
    state = {k: v for k, v in loaded.items() if isinstance(k, str) and isinstance(v, Tensor)}
    for name, value in state.items():
        _check_plain(value, shortened(name), path)
    return state


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    open_regular(path).close()
    return load_file(path)


def _check_plain(value: Tensor, name: str, path: Path) -> None:
    """Check that a tensor holds numbers that can become float32, each of them in the file.

    Raises:
        ModelError: it is sparse, quantized, of complex or other numbers, or larger than its storage.
    """
    kind = str(value.dtype if value.layout is torch.strided else value.layout).removeprefix("torch.")
    if value.layout is not torch.strided or value.dtype not in _DTYPES or value.device.type != "cpu":
        raise ModelError(
            f"weights file {path}: {name} is {kind}, which no network of vidcam takes; "
            "save it as a dense tensor of float32"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ModelError(
            f"weights file {path}: {name} of shape {tuple(value.shape)} is not backed by its stored numbers; "
            "save it with .contiguous()"
        )


def without_wrapper(state: State) -> State:
    """Return a checkpoint without the prefix that training code put before every name, such as "module."."""
    for wrapper in _WRAPPERS:
        if state and all(name.startswith(wrapper) for name in state):
            return without_wrapper({name.removeprefix(wrapper): value for name, value in state.items()})
    return state


def classes_in(state: State, network: nn.Module, path: Path) -> int:
    """Return the number of classes of a checkpoint: the rows of the network's last matrix.

    Args:
        state: the checkpoint.
        network: whose last matrix it is.
        path: of the checkpoint, for messages.

    Raises:
        ModelError: the checkpoint has no such parameter, or an empty one.
    """
    classifier = [name for name, value in network.named_parameters() if value.ndim >= 2][-1]
    if classifier not in state:
        raise ModelError(
            f"weights file {path} has no classifier ({classifier} is missing; it holds {_few(sorted(state))}); "
            "such a file can give features, but a class can be explained only by a network with a classifier: "
            "give a complete checkpoint of this model"
        )
    if state[classifier].numel() == 0:
        raise ModelError(
            f"weights file {path} has an empty classifier ({classifier} has shape {tuple(state[classifier].shape)}); "
            "give a complete checkpoint of this model"
        )
    return int(state[classifier].shape[0])


def load_into(network: nn.Module, state: State, what: str) -> None:
    """Copy a checkpoint into a network that has exactly its names and shapes; numbers take the network's dtype.

    Args:
        network: changed in place.
        state: the checkpoint.
        what: name of the checkpoint in messages.

    Raises:
        ModelError: keys are missing or unexpected, or shapes differ; five of each are named.
    """
    check_fit(network, state, what)
    network.load_state_dict(state, strict=False)


def check_fit(network: nn.Module, state: State, what: str) -> None:
    """Compare the names and shapes of a checkpoint with those of a network, which may be on the meta device.

    Raises:
        ModelError: as by `load_into`.
    """
    own = network.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in optional]
    unexpected = [name for name in state if name not in own]
    other = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if missing or unexpected or other:
        parts = [
            f"{len(names)} {kind}: {_few(names)}"
            for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
            if names
        ]
        raise ModelError(f"{what} do not fit the network: {'; '.join(parts)}; give a checkpoint of this model")


def downloaded_to(name: str, url: str, publisher: str, error: Exception) -> ModelError:
    """Return the error for published weights that are not in torch's cache and cannot be downloaded."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    reason = getattr(error, "reason", None) or error
    return ModelError(
        f"the weights of {name} cannot be downloaded ({reason}); fetch {url} (published by {publisher}), "
        f"put it at {file} and run again, or pass --weights FILE. "
        f"{NEED_NO_DOWNLOAD}"
    )


def _few(names: list[str]) -> str:
    return ", ".join(fitted(name, 120) for name in names[:5]) + (", ..." if len(names) > 5 else "")
