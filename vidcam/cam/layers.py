"""Layers of a network that can be explained, each with its stride and receptive field in the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from vidcam.cam.capture import captured
from vidcam.cam.inputs import forward
from vidcam.cam.layout import CHANNELS_FIRST, Layout, can_be_stacked, tensor_of
from vidcam.cam.targets import ScoreFunction
from vidcam.errors import LayerError, TargetError, counted

_TRIED = 24  # layers, more than a block of a transformer has


@dataclass(frozen=True)
class ReceptiveField:
    """The part of the window that one position of a layer depends on, in time, height and width.

    Attributes:
        stride: frames and pixels of the window between neighbouring positions.
        field: frames and pixels of the window that reach one position; None if every position depends on all of them,
            as after attention or global pooling.
    """

    stride: tuple[int, int, int] = (1, 1, 1)
    field: tuple[int, int, int] | None = (1, 1, 1)


@dataclass(frozen=True)
class SpaceTimeLayer:
    """A layer that can be explained.

    Attributes:
        kind: name of the module's class.
        shape: shape of its output, (C, T, H, W).
        receptive_field: of one position; if the input has several pathways, in frames of the layer's own pathway.
    """

    kind: str
    shape: tuple[int, int, int, int]
    receptive_field: ReceptiveField


def space_time_layers(
    network: nn.Module, inputs: Any, layout: Layout = CHANNELS_FIRST, frames: int = 1
) -> dict[str, SpaceTimeLayer]:
    """Return the layers that can be explained, by name, in the order they are called.

    Runs the network once. Layers with a single position in space are left out, and so are those that are called several
    times, but not once for each part of the window.

    Args:
        network: in evaluation mode.
        inputs: the network's input for one window, see `vidcam.cam.inputs.forward`.
        layout: of the layers' outputs; channels first by default.
        frames: of the window.

    Example:
        >>> network = nn.Sequential(nn.Conv3d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool3d(1))
        >>> layers = space_time_layers(network, torch.zeros(1, 3, 9, 33, 33))
        >>> list(layers), layers["0"].shape, layers["0"].receptive_field.stride
        (['0', '1'], (4, 4, 16, 16), (2, 2, 2))
    """
    return _observed(network, inputs, layout, frames)[0]


def last_layer(
    network: nn.Module, windows: Tensor, layout: Layout, pack: Callable[[Tensor], Any], score: ScoreFunction
) -> str:
    """Return the name of the last layer that can be explained and that a score depends on.

    In a transformer that reads its class token, that is the norm in front of the last attention or the block before. If the
    score of noise depends on none, it is the last layer. Runs the network a few times.

    Args:
        network: in evaluation mode.
        windows: one, (1, 3, T, H, W); its values do not matter.
        layout: of the layers' outputs.
        pack: returns the network's input, given windows.
        score: a function of the network's output that returns one score per window, (N,).

    Raises:
        LayerError: there is none; or a later layer has positions in space in a layout that was not given.
    """
    frames = windows.shape[2]
    found, unread = _observed(network, pack(windows), layout, frames)
    if unread:
        name, shape = unread
        if len(shape) == 5:
            raise LayerError(
                f"layer {name!r} gives {shape[0]} rows for one window, {shape}; let pack give one clip or crop of each window, "
                "as in windows[:, None], or set the layer to be explained"
            )
        what = "the frames in the rows of the batch" if len(shape) > 3 else "what may be tokens of time and space"
        example = "'(n t) c h w'" if len(shape) > 3 else "'n (t h w) c' with their grid (T, H, W)"
        if len(shape) == 3 and shape[0] > 1:
            example = "'(n t) (h w) c' with their grid (T, H, W)"
        length = f", L = {shape[1]}" if len(shape) == 3 else ""
        raise LayerError(
            f"layer {name!r} gives {what}, {shape}{length}, for one window of {counted(frames, 'frame')}; give their layout, "
            f"such as {example}, or set the layer to be explained"
        )
    if not found:
        raise LayerError("no layer's output has time and space; set layer, or the layout of its output")
    names = list(found)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise = torch.randn(windows.shape).to(windows)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():  # heads may work in place
        for name in reversed([name for name in names if found[name].kind != "Linear"][-_TRIED:]):
            with (
                suppress(LayerError, TargetError),
                captured(network, [name], noise, layout=layout, pack=pack) as capture,
            ):
                if capture.gradients(score(capture.output))[name].any():
                    return name
    return names[-1]


def _observed(
    network: nn.Module, inputs: Any, layout: Layout, frames: int
) -> tuple[dict[str, SpaceTimeLayer], tuple[str, tuple[int, ...]] | None]:
    """Return the layers that can be explained, and the name and shape of a later one whose layout is not given, or None."""
    found: dict[str, SpaceTimeLayer] = {}
    shapes: dict[str, list[tuple[int, ...]]] = {}
    unread: tuple[str, tuple[int, ...]] | None = None
    tracing = _Tracing(inputs)
    handles = []

    def watch(name: str) -> Any:
        def note(module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal unread
            tensor = tensor_of(output)
            if tensor is None:
                return
            try:
                fold = layout.fold(name, module, output, 1)
            except LayerError:
                if _may_be_read(module, tensor, frames):
                    unread = name, tuple(tensor.shape)
                return
            with torch.utils._python_dispatch._disable_current_modes():
                _, c, t, h, w = shape = tuple(fold(tensor).shape)
            shapes.setdefault(name, []).append(shape)
            calls = len(shapes[name])
            if h * w > 1:
                found.pop(name, None)
                found[name] = SpaceTimeLayer(type(module).__name__, (c, t * calls, h, w), tracing.field_of(tensor))
                unread = None

        return note

    try:
        handles = [
            module.register_forward_hook(watch(name))
            for name, module in network.named_modules()
            if name and not isinstance(module, torch.jit.ScriptModule)  # which takes no hook
        ]
        with torch.no_grad(), tracing:
            forward(network, inputs)
    finally:
        for handle in handles:
            handle.remove()
    for name, of_calls in shapes.items():
        if len(of_calls) > 1 and not can_be_stacked(set(of_calls), len(of_calls), frames):
            found.pop(name, None)
    return found, unread


def _may_be_read(module: nn.Module, tensor: Tensor, frames: int) -> bool:
    """Return True if an output that does not fit the layout may have positions in space in another.

    That is a convolution's picture or clip for each row of a batch larger than one window, or (N, L, C) of more positions than one for each
    frame, behind a layer that computes on the last axis.
    """
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return len(tensor) > 1 and tensor.shape[-2:].numel() > 1
    along_the_last = isinstance(module, nn.Linear | nn.LayerNorm) and tensor.ndim == 3
    return along_the_last and (tensor.shape[1] > 2 * frames or (len(tensor) > 1 and tensor.shape[1] > 1))


class _Tracing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A trace of strides and receptive fields through every operation of a forward pass."""

    def __init__(self, inputs: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fields: Any = WeakIdKeyDictionary()
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, Tensor):
                self._fields[leaf] = ReceptiveField()

    def field_of(self, tensor: Tensor) -> ReceptiveField:
        """Return the receptive field of a traced tensor."""
        found: ReceptiveField = self._fields.get(tensor, ReceptiveField())
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, Tensor)]
        known = [self._fields[x] for x in tensors if x in self._fields]
        if not known:  # parameters alone
            return outputs
        receptive_field = _after(func, args, _joined(known))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor):
                self._fields[output] = receptive_field
        return outputs


def _after(func: Any, args: Any, receptive_field: ReceptiveField) -> ReceptiveField:
    """Return the receptive field behind an operation on tensors of that receptive field."""
    name = func.overloadpacket.__name__
    if name == "convolution":
        kernel, stride, dilation = args[1].shape[2:], args[3], args[5]
    elif name.startswith(("max_pool", "avg_pool")):
        kernel = args[1]
        stride = args[2] if len(args) > 2 and args[2] else kernel
        dilation = args[4] if name.startswith("max_pool") and len(args) > 4 else [1] * len(kernel)
    else:
        return ReceptiveField(receptive_field.stride, None) if _mixes(func) else receptive_field
    k, s, d = (_three(values) for values in (kernel, stride, dilation))
    field = None
    if receptive_field.field is not None:
        f = receptive_field.field
        field = tuple(f[i] + (k[i] - 1) * d[i] * receptive_field.stride[i] for i in range(3))
    return ReceptiveField(tuple(receptive_field.stride[i] * s[i] for i in range(3)), field)  # type: ignore[arg-type]


def _mixes(func: Any) -> bool:
    """Return True if an operation connects every position with every other: attention, and means over the picture."""
    name = func.overloadpacket.__name__
    return name in {"mean", "bmm", "_softmax"} or name.startswith(
        ("adaptive_", "_adaptive_", "_scaled_dot_product", "_native_multi_head", "_transformer_encoder")
    )


def _joined(given: Sequence[ReceptiveField]) -> ReceptiveField:
    """Return the receptive field behind an operation on several traced tensors: the widest of theirs."""
    fields = [s.field for s in given if s.field is not None]
    field = tuple(map(max, zip(*fields))) if len(fields) == len(given) else None
    stride = tuple(map(max, zip(*(s.stride for s in given))))
    return ReceptiveField(stride, field)


def _three(values: Sequence[int]) -> tuple[int, ...]:
    """Return time, height and width from the numbers of an operation over two dimensions (an image's) or three."""
    return (*[1] * (3 - len(values)), *values)
