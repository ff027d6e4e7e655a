"""The pointing game in space and time: the share of peaks of a map that lie on the truth.

Maps are (F, H, W) and 0 or more, the truth is a mask (F, H, W), both on the same grid of pixels.
"""

from __future__ import annotations

import cv2
import numpy as np


def dilate(mask: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the pixels (H, W) bool within `tolerance` pixels of a mask (H, W)."""
    if not mask.any():
        return np.zeros_like(mask)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= tolerance)


def frame_hits(heat: np.ndarray, mask: np.ndarray, tolerance: float) -> np.ndarray:
    """Return 1 for each frame with a mask if the map's peak lies on it within the tolerance, else 0.

    The pointing game of Zhang et al. 2016 (arXiv 1608.00507, section 4.1), frame by frame. If several pixels share the
    peak, the share of them that hit counts, so that a constant map scores at chance level.

    Args:
        heat, mask: (F, H, W).
        tolerance: in pixels.

    Returns:
        (frames with a mask,) in [0, 1].
    """
    frames = np.nonzero(mask.any(axis=(1, 2)))[0]
    return np.array([dilate(mask[f], tolerance)[heat[f] == heat[f].max()].mean() for f in frames])


def clip_hit(heat: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """Return 1 if the peak of the whole clip lies on its mask in space and time, else 0; shared among equal peaks.

    Args:
        heat, mask: (F, H, W).
        tolerance: in pixels.
    """
    hits, voxels = 0, 0
    for frame in np.nonzero(heat.max(axis=(1, 2)) == heat.max())[0]:
        brightest = heat[frame] == heat.max()
        hits += int(dilate(mask[frame], tolerance)[brightest].sum())
        voxels += int(brightest.sum())
    return hits / voxels
