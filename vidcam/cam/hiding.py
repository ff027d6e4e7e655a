"""Hiding parts of a window: random masks, and what stands in the place of what they hide."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

RANDOM_MASKS = 300
"""Number of masks for one map."""

_CELLS = (4, 7, 7)  # of a mask in time, height and width
_SHOWN = 0.5  # probability of a cell
_BLUR = 0.1  # standard deviation of the blur, as a share of the shorter side


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


def blurred_middle(windows: Tensor) -> Tensor:
    """Return windows (N, 3, T, H, W) of the blurred middle frame alone: nothing moves, and no detail is left.

    The blur is Gaussian, with a deviation of a tenth of the shorter side; at the borders the frame is mirrored.
    """
    frame = windows[:, :, windows.shape[2] // 2].float()
    for axis in (2, 3):
        frame = _blurred(frame, axis, _BLUR * min(frame.shape[2:]))
    return rearrange(frame, "n c h w -> n c 1 h w").to(windows.dtype).expand_as(windows)


def _blurred(frame: Tensor, axis: int, sigma: float) -> Tensor:
    """Return a frame (N, C, H, W) blurred along an axis."""
    radius = min(max(1, round(3 * sigma)), frame.shape[axis] - 1)
    if radius < 1:
        return frame
    at = torch.arange(-radius, radius + 1, device=frame.device)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (weights / weights.sum()).reshape([1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1])
    pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
    padded = rearrange(F.pad(frame, pad, mode="reflect"), "n c h w -> (n c) 1 h w")
    return rearrange(F.conv2d(padded, kernel.to(padded)), "(n c) 1 h w -> n c h w", n=len(frame))
