"""Optimization of a network for inference: batch normalisation folded, the trunk in reduced precision."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from vidcam.cam.inputs import forward
from vidcam.cam.layout import tensor_of, with_tensor
from vidcam.models.registry import Model, prepare

_Convolution = (nn.Conv3d, nn.Conv2d)
_Normalisation = (nn.BatchNorm3d, nn.BatchNorm2d)
_SHARE_OF_MEMORY = 0.25  # of what is free, for the activations of a batch
_MOST = {"cpu": 4, "cuda": 32}  # windows beyond which a batch is no quicker


@dataclass
class Structure:
    """The structure of a network, observed in one run of it.

    Attributes:
        pairs: (convolution, batch normalisation) that can be folded.
        last: name of the target layer that returns last.
        head: names of the modules that are called after the last target layer has returned.
        steps: number of steps in time of the last target layer's output.
        window_bytes: upper bound of the memory of one window's activations during the run.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""
    head: set[str] = field(default_factory=set)
    steps: int = 1
    window_bytes: int = 0


def prepared(model: Model, dtype: torch.dtype, structure: Structure) -> Model:
    """Return a copy of a model optimized for inference.

    Batch normalisation is folded into the convolution before it if the network runs the two directly after one another
    and uses the values between them nowhere else; target layers are not folded. The trunk, up to the last target layer,
    computes in `dtype`; that layer's output, and the head behind it, are float32.

    Args:
        model: in evaluation mode, float32.
        dtype: torch.float32, torch.bfloat16 or torch.float16.
        structure: of its network, as `observed` or `structure_of` found it.
    """
    network = copy.deepcopy(model.network)
    for convolution, normalisation in structure.pairs:
        _fold(network, convolution, normalisation)
    head = {network.get_submodule(name) for name in structure.head}
    if dtype != torch.float32:
        for module in network.modules():
            if module not in head:
                for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                    if tensor.is_floating_point():
                        tensor.data = tensor.data.to(dtype)
        network.get_submodule(structure.last).register_forward_hook(_lengthened)
        for module in head:
            if not list(module.children()):
                module.register_forward_pre_hook(_lengthen_inputs)
    prepare(network)
    window = structure.window_bytes * dtype.itemsize // torch.float32.itemsize
    return replace(model, network=network, dtype=str(dtype).removeprefix("torch."), window_bytes=window)


def windows_at_once(model: Model) -> int:
    """Return the largest useful batch size in windows, reduced to what fits into the device's free memory."""
    kind = model.device.type
    free = torch.cuda.mem_get_info(model.device)[0] if kind == "cuda" else psutil.virtual_memory().available
    room = int(free * _SHARE_OF_MEMORY) // max(1, model.window_bytes)
    return max(1, min(_MOST.get(kind, 1), room))


def steps_of(model: Model, layer: str) -> int:
    """Return the number of steps in time of a layer's output, channels first, for one window."""
    return structure_of(model, [layer]).steps


def _lengthened(_module: nn.Module, _: Any, output: Any) -> Any:
    tensor = tensor_of(output)
    return output if tensor is None else with_tensor(output, tensor.float())


def _lengthen_inputs(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs of the head as float32; some come from another pathway or from an earlier target layer."""
    return tuple(x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs)


def _fold(network: nn.Module, convolution: str, normalisation: str) -> None:
    """Fold a batch normalisation into the convolution before it, in place."""
    conv, norm = network.get_submodule(convolution), network.get_submodule(normalisation)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,  # type: ignore[arg-type]
        conv.bias,  # type: ignore[arg-type]
        norm.running_mean,  # type: ignore[arg-type]
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,  # type: ignore[arg-type]
        norm.weight,  # type: ignore[arg-type]
        norm.bias,  # type: ignore[arg-type]
    )
    parent, _, child = normalisation.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of how often each tensor is the input of an operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watching = True
        self._counts: Any = WeakIdKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler for it, more than a second of processor time

    def of(self, tensor: Tensor) -> list[int]:
        """Return the number of uses of a tensor, as a list of one number that grows with later uses."""
        found: list[int] = self._counts.setdefault(tensor, [0])
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.watching:
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, Tensor):
                    self.of(leaf)[0] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def observed(model: Model, layers: Sequence[str]) -> Iterator[Structure]:
    """Observe a network while it runs once on one window inside the `with`, and yield what is filled in by then.

    Args:
        model: the original network.
        layers: names of the target layers.
    """
    network, structure = model.network, Structure()
    scripted = torch.jit.ScriptModule  # which takes no hook
    names = {module: name for name, module in network.named_modules() if not isinstance(module, scripted)}
    targets = {network.get_submodule(name) for name in layers}
    calls: Counter[nn.Module] = Counter()
    convolved: Any = WeakIdKeyDictionary()  # output of a convolution → the convolution
    found: list[tuple[nn.Module, nn.Module, list[int]]] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls[module] += 1
        structure.head.add(names[module])
        if isinstance(module, _Normalisation) and module.track_running_stats and inputs and inputs[0] in convolved:
            found.append((convolved[inputs[0]], module, uses.of(inputs[0])))

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, _Convolution):
            convolved[output] = module
        if not list(module.children()):
            passing = [leaf for leaf in tree_leaves((inputs, output)) if isinstance(leaf, Tensor)]
            structure.window_bytes = max(structure.window_bytes, 2 * sum(t.numel() * t.element_size() for t in passing))
        if module in targets:
            structure.head.clear()
            structure.last = names[module]
            structure.steps = output.shape[2] if isinstance(output, Tensor) and output.ndim == 5 else 1
        if module is network:
            uses.watching = False  # what follows is the gradient

    with _hooked(names, before, after), _Uses() as uses:
        yield structure
    for convolution, normalisation, used in found:
        once = calls[convolution] == calls[normalisation] == used[0] == 1
        if once and not targets & {convolution, normalisation}:
            structure.pairs.append((names[convolution], names[normalisation]))


def structure_of(model: Model, layers: Sequence[str]) -> Structure:
    """Run a network on a window of zeros and return its structure; arguments as for `observed`."""
    window = torch.zeros(1, 3, model.spec.frames, *model.spec.preprocess.crop, device=model.device)
    with observed(model, layers) as structure, torch.no_grad():
        forward(model.network, model.spec.pack(window.to(model.float_dtype)))
    return structure


@contextmanager
def _hooked(modules: Iterable[nn.Module], before: Callable[..., None], after: Callable[..., None]) -> Iterator[None]:
    hooks = [module.register_forward_pre_hook(before) for module in modules]
    hooks += [module.register_forward_hook(after) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
