"""Layout: the order of the axes of time, space and channels in a layer's output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from einops import rearrange
from torch import Tensor, nn

Fold = Callable[[Tensor], Tensor]
"""A function that reshapes a layer's tensor, or the gradient with respect to it, to (N, C, T, H, W)."""

_ALWAYS_CHANNELS_FIRST = (nn.Conv2d, nn.Conv3d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Layout:
    """Order of the axes in the outputs of a network's layers.

    Convolutional networks return (N, C, T, H, W), or (N, C, H, W) for images, which is read as one step in time.

    Attributes:
        channels_last: True if layers other than convolutions and their norms return (N, T, H, W, C) or (N, H, W, C).
        grid: (T, H, W) of the tokens in (N, L, C) outputs; tokens before the last T·H·W, such as a class token,
            are left out. Layers that return (tokens, (T, H, W)) need no grid.
        pattern: order of the tokens: "n (t h w) c", or "n (h w t) c" if those of one position follow each other in time.
    """

    channels_last: bool = False
    grid: tuple[int, int, int] | None = None
    pattern: str = "n (t h w) c"

    def fold(self, layer: nn.Module, output: Any) -> Fold | None:
        """Return the function that reshapes the layer's tensor to (N, C, T, H, W), or None if it has no time and space.

        Args:
            layer: the module.
            output: what the module returned: a tensor, or a tuple that begins with one.
        """
        tensor = tensor_of(output)
        if tensor is None:
            return None
        last = self.channels_last and not isinstance(layer, _ALWAYS_CHANNELS_FIRST)
        if tensor.ndim == 5:
            return (lambda x: rearrange(x, "n t h w c -> n c t h w")) if last else (lambda x: x)
        if tensor.ndim == 4 and self.grid is None:  # beside tokens it holds frames of a batch, or attention
            pattern = "n h w c -> n c 1 h w" if last else "n c h w -> n c 1 h w"
            return lambda x: rearrange(x, pattern)
        grid = self.grid if isinstance(output, Tensor) else _grid_beside(output) or self.grid
        if tensor.ndim == 3 and grid is not None and tensor.shape[1] >= prod(grid):
            t, h, w = grid
            return lambda x: rearrange(x[:, -t * h * w :], f"{self.pattern} -> n c t h w", t=t, h=h, w=w)
        return None


CHANNELS_FIRST = Layout()


def tensor_of(output: Any) -> Tensor | None:
    """Return the tensor in a layer's output: the output itself, or the first of a tuple; None if there is none."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def _grid_beside(output: tuple[Any, ...]) -> tuple[int, int, int] | None:
    match output:
        case (_, (int(t), int(h), int(w))):
            return t, h, w
    return None
