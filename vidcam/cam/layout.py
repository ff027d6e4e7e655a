"""Layout: the order of the axes of time, space and channels in a layer's output, as a pattern of einops' kind.

The axes are the windows n, channels c, time t, height h and width w; axes in brackets lie in one, the last changing
fastest:

    n c t h w, n t h w c, n t c h w    convolutions over time and space, and blocks that keep other orders
    n c h w, n h w c                   pictures, read as one step in time
    (n t) c h w, (n t) h w c           networks that run on each frame: the frames are rows of the batch
    n (t h w) c, n (h w t) c           tokens of a transformer; `grid` gives their T, H and W
    (n t) (h w) c                      tokens of each frame

Tokens that belong to no place, such as a class token, are those before the grid's and are left out. They must be fewer
than the smallest slice of the grid, so that a wrong grid is not taken for a right one; `_` says that there are others
and where they lie, "n (_ t h w) c" or "n (t h w _) c".

A grid is checked by its product alone: sides that are exchanged cannot be found by the shapes; `vidcam.cam.order` tests them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from vidcam.errors import LayerError, SettingsError, counted

Fold = Callable[[Tensor], Tensor]
"""A function that reshapes a layer's tensor, or the gradient with respect to it, to (N, C, T, H, W)."""

_CHANNELS_FIRST = (nn.Conv2d, nn.Conv3d, nn.BatchNorm2d, nn.BatchNorm3d)  # in any network
_DEFAULT = {5: "n c t h w", 4: "n c h w"}  # by number of axes


@dataclass(frozen=True)
class Layout:
    """Layout of the outputs of a network's layers.

    Attributes:
        pattern: the axes, see above. None reads (N, C, T, H, W), (N, C, H, W), and (tokens, (T, H, W)), tokens (N, L, C)
            with their grid beside them. Convolutions and their norms give channels first with any pattern.
        grid: (T, H, W) of the tokens.

    Raises:
        SettingsError: the pattern is none of that kind; or the grid is missing, or is given without a pattern.

    Example:
        >>> from torch import nn, zeros
        >>> tokens = zeros(2, 1 + 4 * 7 * 7, 96)  # a class token and 4 steps of 7x7
        >>> Layout("n (t h w) c", grid=(4, 7, 7)).fold("blocks.11", nn.Identity(), tokens, 2)(tokens).shape
        torch.Size([2, 96, 4, 7, 7])
    """

    pattern: str | None = None
    grid: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.grid is not None and not (len(self.grid) == 3 and all(isinstance(s, int) and s > 0 for s in self.grid)):
            raise SettingsError(f"the grid {self.grid!r} is not (T, H, W) of tokens; give three whole numbers")
        if self.pattern is None:
            if self.grid is not None:
                raise SettingsError(
                    f"the grid {self.grid} has no layout; say in which order the tokens lie, such as 'n (t h w) c'"
                )
            return
        axes = _axes(self.pattern)
        names = sorted(name for axis in axes for name in axis if name != "_")
        if (
            names not in (sorted("nchw"), sorted("ncthw"))
            or not all(map(_readable, axes))
            or "c" not in map(_one, axes)
        ):
            raise SettingsError(
                f"the layout {self.pattern!r} is not understood; name each of n (windows), c, t, h and w once, as in "
                "'n c t h w', '(n t) c h w' or 'n (t h w) c'"
            )
        if self.grid is not None and self.grid[0] > 1 and "t" not in names:
            raise SettingsError(
                f"the layout {self.pattern!r} has no t, and the grid {self.grid} has several steps; name t in the layout"
            )
        if self.grid is None and any(len(set(axis) & set("thw")) > 1 for axis in axes):
            raise SettingsError(f"the layout {self.pattern!r} needs the grid (T, H, W) of its tokens; give grid, too")

    @property
    def frames_in_rows(self) -> bool:
        """True if the frames of a window are rows of the batch."""
        return self.pattern is not None and any({"n", "t"} <= set(axis) for axis in _axes(self.pattern))

    def fold(self, name: str, layer: nn.Module, output: Any, windows: int) -> Fold:
        """Return the function that reshapes the layer's tensor to (N, C, T, H, W).

        Args:
            name: of the layer, for messages.
            layer: the module.
            output: what the module returned: a tensor, or a structure that begins with one, see `tensor_of`.
            windows: N.

        Raises:
            LayerError: the output has no time and space in this layout.
        """
        tensor = tensor_of(output)
        if tensor is None:
            raise LayerError(f"layer {name!r} gives a {type(output).__name__} without a tensor; choose another layer")
        pattern = self._for(layer, tensor)
        grid = self.grid if pattern == self.pattern else None
        if pattern is None and tensor.ndim == 3 and (beside := _grid_beside(output)):
            pattern, grid = "n (t h w) c", beside
        gives = f"layer {name!r} gives a tensor of shape {tuple(tensor.shape)} for {counted(windows, 'window')}"
        if pattern is None:
            advice = (
                "; if these are tokens, give their layout and grid, such as 'n (t h w) c' and (8, 14, 14)"
                if tensor.ndim == 3
                else ", which has no time and space; choose another layer"
            )
            raise LayerError(gives + advice)
        return _folded(pattern, grid, tuple(tensor.shape), windows, gives)

    def _for(self, layer: nn.Module, tensor: Tensor) -> str | None:
        """Return the pattern of a layer's tensor."""
        default = _DEFAULT.get(tensor.ndim)
        if self.pattern is None:
            return default
        if isinstance(layer, _CHANNELS_FIRST) and default is not None:
            rows = next((axis for axis in _axes(self.pattern) if "n" in axis), ["n"])
            return default if tensor.ndim == 5 or rows == ["n"] else f"({' '.join(rows)}) c h w"
        return self.pattern


CHANNELS_FIRST = Layout()


def _folded(pattern: str, grid: tuple[int, int, int] | None, shape: tuple[int, ...], windows: int, gives: str) -> Fold:
    """Return the fold of tensors of a shape, or raise a LayerError that begins with the words `gives`."""
    axes = _axes(pattern)
    sizes = {"n": windows, **({} if grid is None else dict(zip("thw", grid)))}
    stated = f"the layout {pattern!r}" + ("" if grid is None else f" with grid {grid}")
    if len(axes) != len(shape):
        raise LayerError(f"{gives}, and {stated} has {len(axes)} axes; give the layout of this layer")
    cuts: list[tuple[int, int, int]] = []
    for place, (axis, size) in enumerate(zip(axes, shape)):
        names = [name for name in axis if name != "_"]
        known = prod(sizes[name] for name in names if name in sizes)
        if any(name not in sizes for name in names):
            if size % known:
                raise LayerError(
                    f"{gives}, and {stated} wants a multiple of {known} in place of {size}; {_advice(axis)}"
                )
            continue
        others = size - known
        smallest = known // max(sizes[name] for name in names)
        allowed = "_" in axis or ("n" not in names and others < smallest)
        if others < 0 or (others and not allowed):
            raise LayerError(f"{gives}, and {stated} wants {known} in place of {size}; {_advice(axis)}")
        cuts.append((place, 0 if axis[-1] == "_" else others, known))
    plain = " ".join(f"({' '.join(names)})" for axis in axes if (names := [name for name in axis if name != "_"]))
    to = "n c t h w" if "t" in plain else "n c 1 h w"
    lengths = {name: size for name, size in sizes.items() if name in plain}

    def fold(tensor: Tensor) -> Tensor:
        for place, start, length in cuts:
            tensor = tensor.narrow(place, start, length)
        return rearrange(tensor, f"{plain} -> {to}", **lengths)

    return fold


def _advice(axis: list[str]) -> str:
    if axis == ["n"]:
        return "if the frames are rows of the batch, give the layout '(n t) c h w', or '(n t) (h w) c' for tokens"
    if "n" in axis:
        return "give the layout of this layer, and as many frames as it has rows"
    return "give the grid of this layer's tokens, and `_` where others lie, as in 'n (_ t h w) c'"


def _axes(pattern: str) -> list[list[str]]:
    """Return the names in each axis of a pattern; [] for one that cannot be read."""
    if not re.fullmatch(r"\s*(?:(?:[a-z]|\([a-z_ ]+\))(?:\s+|$))+", pattern):
        return []
    return [re.findall(r"[a-z_]", axis) for axis in re.findall(r"[a-z]|\([^)]*\)", pattern)]


def _one(axis: list[str]) -> str:
    return " ".join(axis)


def _readable(axis: list[str]) -> bool:
    """Return True if the tokens of other kinds, `_`, are at most one end of an axis of tokens."""
    return "_" not in axis or (
        axis.count("_") == 1 and "_" in (axis[0], axis[-1]) and len(axis) > 2 and "n" not in axis
    )


def tensor_of(output: Any) -> Tensor | None:
    """Return the tensor in a layer's output: the output itself, or the first value of a tuple or dataclass; else None."""
    first = output
    if dataclasses.is_dataclass(output):
        first = getattr(output, dataclasses.fields(output)[0].name)
    elif isinstance(output, tuple) and output:
        first = output[0]
    return first if isinstance(first, Tensor) else None


def with_tensor(output: Any, tensor: Tensor) -> Any:
    """Return a copy of a layer's output with another tensor in the place of `tensor_of`."""
    if isinstance(output, Tensor):
        return tensor
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return dataclasses.replace(output, **{dataclasses.fields(output)[0].name: tensor})
    if hasattr(output, "_replace"):  # a named tuple
        return output._replace(**{output._fields[0]: tensor})
    return (tensor, *output[1:])


def can_be_stacked(shapes: Collection[tuple[int, ...]], calls: int, frames: int) -> bool:
    """Return True if the outputs of several calls are steps in time of a window.

    Args:
        shapes: different shapes of the outputs, (N, C, T, H, W).
        calls: their number.
        frames: of the window.
    """
    return len(shapes) == 1 and all(shape[2] == 1 for shape in shapes) and frames % calls == 0


def _grid_beside(output: Any) -> tuple[int, int, int] | None:
    match output:
        case (_, (int(t), int(h), int(w))):
            return t, h, w
    return None
