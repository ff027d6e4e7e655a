"""The pointing game in space and time: does the brightest place lie on what there is to see?

Maps are (F, H, W) and 0 or more, the truth is a mask (F, H, W), both on the same grid of pixels.
"""

from __future__ import annotations

import cv2
import numpy as np


def near(mask: np.ndarray, tolerance: float) -> np.ndarray:
    """Pixels of (H, W) within so many pixels of a mask."""
    if not mask.any():
        return np.zeros_like(mask)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= tolerance)


def frame_hits(heat: np.ndarray, mask: np.ndarray, tolerance: float) -> np.ndarray:
    """For each frame that has something in its mask: whether the map's peak lies on it, up to a tolerance.

    Zhang et al. 2016 (arXiv 1608.00507, section 4.1), frame by frame. Where several pixels share the peak, the share of
    them that hit counts, so that a map without an opinion gets what chance would give it.

    Args:
        heat, mask: (F, H, W).
        tolerance: in pixels.

    Returns:
        (frames with a mask,) in [0, 1].
    """
    frames = np.nonzero(mask.any(axis=(1, 2)))[0]
    return np.array([near(mask[f], tolerance)[heat[f] == heat[f].max()].mean() for f in frames])


def clip_hit(heat: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """Whether the peak of the whole clip lies on its mask, in space and in time; shared among equals as above."""
    hits, voxels = 0, 0
    for frame in np.nonzero(heat.max(axis=(1, 2)) == heat.max())[0]:
        brightest = heat[frame] == heat.max()
        hits += int(near(mask[frame], tolerance)[brightest].sum())
        voxels += int(brightest.sum())
    return hits / voxels
