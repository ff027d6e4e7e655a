"""Deletion, insertion and what is left of a clip: voxels taken away or given back by the order of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

KEPT_STEPS = 25
"""Steps of `kept_frames`, as Chen et al. 2024 take them."""


def ranks(heat: Tensor, seed: int = 0) -> Tensor:
    """For each voxel of a map (T, H, W) the share of voxels that are stronger, in [0, 1).

    Equal voxels, and a map of zeros has many, stand in the order of smooth noise as coarse as a class activation map:
    taken away one by one at random they would leave a grain that confuses any network, whatever they show.
    """
    grid = [min(8, heat.shape[0]), min(14, heat.shape[1]), min(14, heat.shape[2])]
    noise = torch.rand(1, 1, *grid, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, heat.shape, mode="trilinear", align_corners=False)
    order = np.lexsort((-smooth.flatten().numpy(), -heat.flatten().numpy()))
    found = np.empty(len(order))
    found[order] = np.arange(len(order)) / len(order)
    return torch.from_numpy(found).view(heat.shape)


def strongest(frames: Tensor, rank: Tensor, shares: Sequence[float], hidden: Tensor) -> Tensor:
    """The clip with the strongest share of its voxels, the rest hidden, for each share: (len(shares), 3, T, H, W)."""
    return torch.stack([torch.where(rank < share, frames, hidden) for share in shares])


def deletion_frames(frames: Tensor, rank: Tensor, steps: int) -> Tensor:
    """The clip while its voxels are blacked out, strongest first: (steps + 1, 3, T, H, W), the last all black.

    Petsiuk et al. 2018 (RISE, arXiv 1806.07421, section 4.1), over space and time.
    """
    hidden = torch.zeros_like(frames)
    return torch.stack([torch.where(rank < i / steps, hidden, frames) for i in range(steps + 1)])


def insertion_frames(frames: Tensor, rank: Tensor, steps: int, blurred: Tensor) -> Tensor:
    """The blurred clip while its voxels become sharp, strongest first: (steps + 1, 3, T, H, W) (ibid.)."""
    return strongest(frames, rank, [i / steps for i in range(steps + 1)], blurred)


def area_under(curve: np.ndarray) -> float:
    """Area under confidences at even steps from 0 to 1, by trapezoids."""
    return float(trapezoid(curve, dx=1 / (len(curve) - 1)))


def kept_frames(frames: Tensor, rank: Tensor) -> Tensor:
    """The clip with its strongest i/25 voxels, i = 1 to 24, the rest 0: (24, 3, T, H, W).

    The protocol for misunderstood inputs of Chen et al. 2024 (Less is More, arXiv 2402.09164, section 4).
    """
    shares = [i / KEPT_STEPS for i in range(1, KEPT_STEPS)]
    return strongest(frames, rank, shares, torch.zeros_like(frames))


def highest_confidence(curve: np.ndarray, share: float) -> float:
    """The highest confidence over the first int(share x 25) steps of `kept_frames`; its mean over clips is theirs.

    Args:
        curve: (24,) confidences.
        share: 0.25, 0.5, 0.75 or 1 in the paper.
    """
    return float(curve[: int(share * KEPT_STEPS)].max())
