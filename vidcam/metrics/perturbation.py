"""Perturbation: clips with voxels deleted, inserted or kept in the order of a map.

Frames are float pixels (3, T, H, W) in 0..255; the order is that of `ranks`, (T, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

KEPT_STEPS = 25
"""Number of steps of `kept_frames`, as in Chen et al. 2024."""


def ranks(heat: Tensor, seed: int = 0) -> Tensor:
    """Return for each voxel of a map (T, H, W) the share of voxels that are stronger, in [0, 1).

    Equal voxels, and a map of zeros has many, are ordered by smooth noise as coarse as a class activation map: removed
    in random order they would leave a grain that confuses any network, whatever the voxels show.
    """
    grid = [min(8, heat.shape[0]), min(14, heat.shape[1]), min(14, heat.shape[2])]
    noise = torch.rand(1, 1, *grid, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, heat.shape, mode="trilinear", align_corners=False)
    order = np.lexsort((-smooth.flatten().numpy(), -heat.flatten().numpy()))
    found = np.empty(len(order))
    found[order] = np.arange(len(order)) / len(order)
    return torch.from_numpy(found).view(heat.shape)


def strongest(frames: Tensor, rank: Tensor, shares: Sequence[float], hidden: Tensor) -> Tensor:
    """Return the clip with its strongest voxels, the others hidden, for each share: (len(shares), 3, T, H, W).

    Args:
        frames: (3, T, H, W).
        rank: (T, H, W) of `ranks`.
        shares: of the voxels that are kept, in [0, 1].
        hidden: (3, T, H, W) pixels in place of the others.
    """
    return torch.stack([torch.where(rank < share, frames, hidden) for share in shares])


def deletion_frames(frames: Tensor, rank: Tensor, steps: int) -> Tensor:
    """Return the clip at each step of blacking out its voxels, strongest first: (steps + 1, 3, T, H, W).

    Petsiuk et al. 2018 (RISE, arXiv 1806.07421, section 4.1), over space and time. The last step is black.
    """
    hidden = torch.zeros_like(frames)
    return torch.stack([torch.where(rank < i / steps, hidden, frames) for i in range(steps + 1)])


def insertion_frames(frames: Tensor, rank: Tensor, steps: int, blurred: Tensor) -> Tensor:
    """Return the blurred clip at each step of sharpening its voxels, strongest first: (steps + 1, 3, T, H, W).

    The same source as `deletion_frames`.
    """
    return strongest(frames, rank, [i / steps for i in range(steps + 1)], blurred)


def area_under(curve: np.ndarray) -> float:
    """Return the area under confidences at even steps from 0 to 1, by the trapezoidal rule."""
    return float(trapezoid(curve, dx=1 / (len(curve) - 1)))


def kept_frames(frames: Tensor, rank: Tensor) -> Tensor:
    """Return the clip with its strongest i/25 voxels, i = 1 to 24, the rest 0: (24, 3, T, H, W).

    The protocol for misclassified inputs of Chen et al. 2024 (Less is More, arXiv 2402.09164, section 4).
    """
    shares = [i / KEPT_STEPS for i in range(1, KEPT_STEPS)]
    return strongest(frames, rank, shares, torch.zeros_like(frames))


def highest_confidence(curve: np.ndarray, share: float) -> float:
    """Return the highest confidence in the first int(25 share) steps of `kept_frames`.

    The paper's average highest confidence is the mean over clips.

    Args:
        curve: (24,) confidences.
        share: 0.25, 0.5, 0.75 or 1 in the paper.
    """
    return float(curve[: int(share * KEPT_STEPS)].max())
