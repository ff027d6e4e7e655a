"""Overlap of a map with the truth: precision (energy inside) and agreement of regions (IoU, Loc).

Maps are (F, H, W) and 0 or more, the truth is a mask or a tube (F, H, W), both on the same grid of pixels.
"""

from __future__ import annotations

import numpy as np


def energy_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of a map's sum that lies in the mask, in space and time; 0 for an empty map.

    The energy-based pointing game of Wang et al. 2020 (Score-CAM, arXiv 1910.01279, section 4.3), over time too.
    """
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total > 0 else 0.0


def saliency_iou(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return the intersection over union of the mask with as many of the map's strongest voxels as the mask has.

    Voxels equal to the weakest of those count too, voxels at 0 never: all ones cover everything, an empty map nothing.
    No threshold has to be chosen.
    """
    count = int(mask.sum())
    if count == 0:
        return 0.0
    weakest = np.partition(heat.ravel(), -count)[-count]
    region = (heat >= weakest) & (heat > 0)
    union = int((region | mask).sum())
    return int((region & mask).sum()) / union


def tube_of(mask: np.ndarray) -> np.ndarray:
    """Return the filled bounding box of every frame of a mask: (F, H, W) bool."""
    rows, columns = _between(np.any(mask, axis=2)), _between(np.any(mask, axis=1))
    return rows[:, :, None] & columns[:, None, :]


def _between(side: np.ndarray) -> np.ndarray:
    """Return (F, n) bool: True from the first true entry of each row to its last."""
    return np.maximum.accumulate(side, axis=1) & np.maximum.accumulate(side[:, ::-1], axis=1)[:, ::-1]


def tube_localization(heat: np.ndarray, tube: np.ndarray, threshold: float) -> float:
    """Return Loc(δ) = internal / (box area + external), over space and time, in [0, 1].

    The map is scaled from its least to its largest value to [0, 1]; internal and external count the voxels above the
    threshold inside and outside the tube, the box area is the tube's volume. Chattopadhyay et al. 2018 (arXiv
    1710.11063, section 4.3), for a tube in place of a box. A constant map is above no threshold.

    Args:
        heat: (F, H, W).
        tube: (F, H, W) bool, boxes or masks, somewhere true.
        threshold: δ in [0, 1).
    """
    low, high = float(heat.min()), float(heat.max())
    if high <= low:
        return 0.0
    above = (heat - low) / (high - low) > threshold
    internal = int((above & tube).sum())
    return internal / (int(tube.sum()) + int(above.sum()) - internal)
