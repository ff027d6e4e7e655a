"""Order of the axes of a layer's output, tested by changing a part of the window."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from vidcam.cam.capture import captured, module_named
from vidcam.cam.inputs import forward
from vidcam.cam.layout import Layout, tensor_of, with_tensor
from vidcam.errors import LayerError, counted

_CLEARLY = 0.15  # difference of two agreements, from -1 to 1
_ENOUGH, _LOCAL = 16, 0.7  # positions that tell an order; the share of positions that half of a window changes
_NAMES = {2: ("time", "first", "last"), 3: ("height", "top", "bottom"), 4: ("width", "left", "right")}
_WHOLE = {5: ("n c t h w", "n t h w c", "n t c h w"), 4: ("n c h w", "n h w c")}  # by number of axes


def better_layout(
    network: nn.Module, layer: str, window: Tensor, layout: Layout, pack: Callable[[Tensor], Any]
) -> Layout | None:
    """Return a layout that fits a layer's output clearly better than the given one; None if there is none.

    The first half of a window of noise, in time, in height and in width, is replaced by other noise. The output changes
    there more than in the other half, if its axes are in that order. Where every position has seen the whole window
    alike, nothing can be said, and the result is None. Runs the network four times.

    Args:
        network: in evaluation mode.
        layer: name of the layer.
        window: one, (1, 3, T, H, W); its values do not matter.
        layout: that was given.
        pack: returns the network's input, given windows.

    Example:
        >>> network = nn.Sequential(nn.Flatten(2), nn.Identity())  # (1, 3, T·H·W)
        >>> given = Layout("n c (h w t)", grid=(2, 4, 6))
        >>> better_layout(network, "1", torch.zeros(1, 3, 2, 4, 6), given, lambda windows: windows)
        Layout(pattern='n c (t h w)', grid=(2, 4, 6))
    """
    module = module_named(network, layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise, other = (torch.randn(window.shape).to(window) for _ in range(2))
    changed = []
    for axis in (2, 3, 4):
        half = noise.shape[axis] // 2
        rest = noise.narrow(axis, half, noise.shape[axis] - half)
        changed.append(torch.cat([other.narrow(axis, 0, half), rest], axis))
    outputs = [_output(network, module, pack(given)) for given in (noise, *changed)]
    if any(output is None for output in outputs):  # called several times
        return None

    def agreement(with_layout: Layout) -> float:
        fold = with_layout.fold(layer, module, outputs[0], 1)
        first, *others = (fold(tensor).float() for output in outputs if (tensor := tensor_of(output)) is not None)
        return sum(_in_the_half(other - first, axis) for axis, other in zip((2, 3, 4), others)) / 3

    given = agreement(layout)
    best, found = given + _CLEARLY, None
    for candidate in _others(layout, outputs[0]):
        with suppress(LayerError):  # it does not fit
            if (fits := agreement(candidate)) > best:
                best, found = fits, candidate
    return found


def misplaced(network: nn.Module, layer: str, window: Tensor, layout: Layout, pack: Callable[[Tensor], Any]) -> str:
    """Return a message if a map of a layer would not lie on what the layer has seen; or "".

    Either end of a window of noise, along each axis, is replaced by other noise. If the output does not change at all, the
    network leaves that end out, and a map that is spread over the whole window is too large; borders of less than a
    position, which strides leave out, are not looked for. If each half of the window
    changes the opposite half more, the axis is reversed; if it changes about a half of the positions, and those do not lie in
    one half, their order is another. Runs the network up to thirteen times.

    Args:
        network, layer, window, layout, pack: as for `better_layout`; a layer may be called several times.

    Raises:
        LayerError: the output has no time and space in the layout.

    Example:
        >>> class Backwards(nn.Module):
        ...     def forward(self, x):
        ...         return x.flip(2)
        >>> misplaced(nn.Sequential(Backwards()), "0", torch.zeros(1, 3, 2, 4, 6), Layout(), lambda windows: windows)
        "the output of layer '0' runs against the window in time; choose a layer that does not"
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise, other = (torch.randn(window.shape).to(window) for _ in range(2))

    def activation(windows: Tensor) -> Tensor:
        with captured(network, [layer], windows, layout=layout, pack=pack) as capture:
            return capture.activations[layer].float()

    def change(axis: int, start: int, length: int) -> Tensor:
        given = noise.clone()
        given.narrow(axis, start, length).copy_(other.narrow(axis, start, length))
        return activation(given) - first

    first = activation(noise)
    every = _changed(activation(other) - first)
    if not every.any():
        return ""
    for axis, (name, *ends) in _NAMES.items():
        size, steps = noise.shape[axis], first.shape[axis]
        if size == 1 or (axis > 2 and steps == 1):
            continue
        half = size // 2
        if axis == 2:
            part = min(max(size // 4, -(-size // steps)), half)  # a step may stand for frames between those it sees
        else:
            part = min(max(size // 8, size // steps, 1), half)  # strides leave less than a cell unseen

        for end, start in zip(ends, (0, size - part)):
            if not change(axis, start, part).any():
                unseen = f"the {end} {counted(part, 'frame' if axis == 2 else 'pixel')} of the window"
                return (
                    f"layer {layer!r} has not seen {unseen}, and its map would be spread over them; set frames and preprocess "
                    "to the part that the network reads, or choose another layer"
                )
        changes = change(axis, 0, half), change(axis, size - half, half)
        sides = _in_the_half(changes[0], axis), _in_the_half(changes[1], axis)
        if sides[0] < -_CLEARLY and sides[1] > _CLEARLY:
            return f"the output of layer {layer!r} runs against the window in {name}; choose a layer that does not"
        found = _changed(changes[0])
        own = found.narrow(axis, 0, -(-steps // 2)).sum() / found.sum().clamp(min=1)
        if every.sum() >= _ENOUGH and found.sum() <= _LOCAL * every.sum() and own < _LOCAL:
            return (
                f"the output of layer {layer!r} has other places in the order of its {name} than the window; choose a layer "
                "that keeps the window's order"
            )
    return ""


@torch.no_grad()
def _output(network: nn.Module, module: nn.Module, inputs: Any) -> Any:
    """Return what a module gives in one run of the network; None if it is called several times, or gives no tensor."""
    calls: list[Any] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = tensor_of(output)
        calls.append(
            None if tensor is None else with_tensor(output, tensor.clone())
        )  # the network may change it in place

    handle = module.register_forward_hook(keep)
    try:
        forward(network, inputs)
    finally:
        handle.remove()
    return calls[0] if len(calls) == 1 else None


def _changed(change: Tensor) -> Tensor:
    """Return the positions that changed clearly, (N, 1, T, H, W) bool."""
    size = change.abs().mean(1, keepdim=True)
    return size > 1e-3 * size.max()


def _in_the_half(change: Tensor, axis: int) -> float:
    """Return how much more the first half along an axis changed than the second: from -1 to 1; 0 for one position."""
    size = change.abs().mean(1, keepdim=True)
    half = size.shape[axis] // 2
    if not half:
        return 0.0
    first, last = size.narrow(axis, 0, half).mean(), size.narrow(axis, size.shape[axis] - half, half).mean()
    return float((first - last) / (first + last).clamp(min=1e-12))


def _others(layout: Layout, output: Any) -> Iterator[Layout]:
    """Yield the other orders of a layer's axes, and of the sides of its grid."""
    if layout.pattern is None or layout.grid is None:
        tensor = tensor_of(output)
        assert tensor is not None  # or it had no fold
        yield from (Layout(pattern) for pattern in _WHOLE.get(tensor.ndim, ()))
        return
    found = re.search(r"[thw]+(?: [thw])+", layout.pattern)
    if found is None:
        return
    for letters in permutations(found[0].split()):
        pattern = layout.pattern.replace(found[0], " ".join(letters))
        for t, h, w in dict.fromkeys(permutations(layout.grid)):
            yield Layout(pattern, (t, h, w))
