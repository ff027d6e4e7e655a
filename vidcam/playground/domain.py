"""Domain of the bundled networks: rendered scenes, recognised by the contrast of their pictures.

A wall with soft noise has less contrast from block to block, and finer grain beside it, than a picture of a camera.
`scripts/domain.py` fits the numbers below on training seeds, and measures them on other seeds and on clips of a camera.
"""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor

from vidcam.models.preprocess import Preprocess

DOMAIN = "rendered figures"

PREPROCESS = Preprocess((112, 112), (112, 112), (0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
"""Preprocessing of the bundled networks."""

_BLOCK = 8  # pixels
_EVERY = 5  # frames, of which one is looked at
_MEAN = (24.816, 5.1965, 10.806)
_PRECISION = ((0.034772, -0.037607, -0.015173), (-0.037607, 2.504, -0.88789), (-0.015173, -0.88789, 0.44965))
FARTHEST = 4.5
"""Distance of a rendered window; of 300 the farthest has 4.1, and the nearest of those of five camera clips 6.2."""


def contrasts(windows: Tensor) -> Tensor:
    """Return three contrasts of the brightness of windows, (N, 3), in units of pixel values 0..255.

    They are the standard deviation between blocks of 8x8 pixels, and the mean absolute first and second difference
    between neighbouring pixels, both averaged over frames.

    Args:
        windows: (N, 3, T, 112, 112), by `PREPROCESS`.
    """
    mean, std = (torch.tensor(v, device=windows.device).view(1, 3, 1, 1, 1) for v in (PREPROCESS.mean, PREPROCESS.std))
    brightness = ((windows[:, :, ::_EVERY].float() * std + mean) / PREPROCESS.scale).mean(1)  # n t h w
    blocks = reduce(brightness, "n t (h i) (w j) -> n t (h w)", "mean", i=_BLOCK, j=_BLOCK)
    across = brightness.diff(dim=3).abs()
    middle = brightness[:, :, 1:-1, 1:-1]
    neighbours = brightness[:, :, :-2, 1:-1] + brightness[:, :, 2:, 1:-1]
    neighbours = neighbours + brightness[:, :, 1:-1, :-2] + brightness[:, :, 1:-1, 2:]
    values = (blocks.std(2).mean(1), across.mean((1, 2, 3)), (4 * middle - neighbours).abs().mean((1, 2, 3)))
    return torch.stack(values, 1)


def distance(contrasts: Tensor) -> Tensor:
    """Return the Mahalanobis distance of contrasts (N, 3) from those of rendered scenes, (N,)."""
    away = contrasts - torch.tensor(_MEAN, device=contrasts.device)
    precision = torch.tensor(_PRECISION, device=contrasts.device)
    return torch.einsum("ni,ij,nj->n", away, precision, away).sqrt()


def rendered(windows: Tensor) -> Tensor:
    """Return (N,) bool, True for windows (N, 3, T, 112, 112), by `PREPROCESS`, that could be of a rendered scene.

    It is True for windows of another size, about which nothing is known.
    """
    if tuple(windows.shape[3:]) != PREPROCESS.crop:
        return torch.ones(len(windows), dtype=torch.bool)
    return distance(contrasts(windows)) <= FARTHEST
