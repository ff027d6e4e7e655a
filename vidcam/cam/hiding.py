"""Hiding parts of a window: blocks and random masks, and what stands in the place of what they hide."""

from __future__ import annotations

from math import inf
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from vidcam.errors import one_of

Absent = Literal["frozen", "neighbour", "blurred", "frozen-blurred", "grey"]
ABSENT: tuple[Absent, ...] = get_args(Absent)

_CELLS = (4, 7, 7)  # of a mask in time, height and width
_SHOWN = 0.5  # probability of a cell
_BLUR = 0.1  # standard deviation of the blur, as a share of the shorter side


def absent(windows: Tensor, kind: str) -> Tensor:
    """Return what stands in the place of hidden parts of windows, (N, 3, T, H, W) like the windows.

    "frozen", the window's middle frame: nothing moves; "neighbour", for each frame the nearest one of another quarter of the
    window: what is hidden stands still as it is just before and after; "blurred", every frame blurred: movement stays, and
    no detail; "frozen-blurred", the middle frame blurred; "grey", the window's mean colour.

    The blur is Gaussian, with a deviation of a tenth of the shorter side; at the borders a frame is mirrored.

    Args:
        windows: (N, 3, T, H, W).
        kind: one of `ABSENT`.

    Raises:
        SettingsError: there is no such kind.

    Example:
        >>> absent(torch.rand(1, 3, 4, 8, 8), "grey").unique().numel()  # one value for each channel
        3
    """
    match one_of(kind, ABSENT, "kind of absence"):
        case "frozen":
            return still(windows)
        case "neighbour":
            return windows[:, :, _in_other_quarter(windows.shape[2])]
        case "blurred":
            return _blurred(windows)
        case "frozen-blurred":
            middle = windows.shape[2] // 2
            return _blurred(windows[:, :, middle : middle + 1]).expand_as(windows)
    return reduce(windows.float(), "n c t h w -> n c 1 1 1", "mean").to(windows.dtype).expand_as(windows)


def still(windows: Tensor) -> Tensor:
    """Return windows (N, 3, T, H, W) with every frame replaced by the middle one, without a copy."""
    middle = windows.shape[2] // 2
    return windows[:, :, middle : middle + 1].expand_as(windows)


def _in_other_quarter(frames: int) -> Tensor:
    """Return for each frame the nearest one of another quarter of the window, the earlier of two, (T,); or of 1 frame itself."""
    at = torch.arange(frames)
    quarter = at * min(_CELLS[0], frames) // frames
    away = (at[:, None] - at).abs().double()
    away[quarter[:, None] == quarter] = inf
    return away.argmin(1) if frames > 1 else at


def block_indices(size: tuple[int, ...] | torch.Size, grid: tuple[int, int, int]) -> Tensor:
    """Return the index of the block that each pixel is in, (T, H, W); blocks differ in size by at most one pixel a side.

    Args:
        size: of the window, (T, H, W).
        grid: blocks in time, height and width, no more than pixels.

    Example:
        >>> block_indices((1, 2, 4), (1, 1, 2)).tolist()
        [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    """
    t, h, w = (torch.arange(side) * cells // side for side, cells in zip(size, grid))
    return (t[:, None, None] * grid[1] + h[None, :, None]) * grid[2] + w


def random_mask(size: tuple[int, ...] | torch.Size, generator: torch.Generator) -> Tensor:
    """Return a random mask (T, H, W) in [0, 1]; the expectation of each pixel is 0.5.

    A grid of cells is drawn, one cell larger than needed, interpolated trilinearly, and cut out at a random offset
    (Petsiuk et al. 2018, arXiv 1806.07421, section 3.2).

    Args:
        size: of the window, (T, H, W).
        generator: of random numbers.

    Example:
        >>> mask = random_mask((16, 112, 112), torch.Generator().manual_seed(0))
        >>> mask.shape, bool((0 <= mask).all() and (mask <= 1).all())
        (torch.Size([16, 112, 112]), True)
    """
    cells = [min(cells, side) for cells, side in zip(_CELLS, size)]
    steps = [-(-side // count) for side, count in zip(size, cells)]  # pixels of a cell, rounded up
    drawn = (torch.rand([count + 1 for count in cells], generator=generator) < _SHOWN).float()
    whole = [(count + 1) * step for count, step in zip(cells, steps)]
    mask = F.interpolate(drawn[None, None], size=whole, mode="trilinear", align_corners=False)[0, 0]
    at = [int(torch.randint(0, step, (), generator=generator)) for step in steps]
    return mask[at[0] : at[0] + size[0], at[1] : at[1] + size[1], at[2] : at[2] + size[2]]


def _blurred(windows: Tensor) -> Tensor:
    """Return windows (N, C, T, H, W) with every frame blurred."""
    frames = rearrange(windows.float(), "n c t h w -> (n t) c h w")
    for axis in (2, 3):
        frames = _blurred_along(frames, axis, _BLUR * min(windows.shape[3:]))
    return rearrange(frames, "(n t) c h w -> n c t h w", n=len(windows)).to(windows.dtype)


def _blurred_along(frames: Tensor, axis: int, sigma: float) -> Tensor:
    """Return frames (N, C, H, W) blurred along an axis."""
    radius = min(max(1, round(3 * sigma)), frames.shape[axis] - 1)
    if radius < 1:
        return frames
    at = torch.arange(-radius, radius + 1, device=frames.device)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (weights / weights.sum()).reshape([1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1])
    pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
    padded = rearrange(F.pad(frames, pad, mode="reflect"), "n c h w -> (n c) 1 h w")
    return rearrange(F.conv2d(padded, kernel.to(padded)), "(n c) 1 h w -> n c h w", n=len(frames))
