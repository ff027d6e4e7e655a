"""Blend of a picture with the colours of its heatmap."""

from __future__ import annotations

from functools import lru_cache

import cv2
import matplotlib
import numpy as np

COLORMAP = "inferno"
OPACITY = 0.8


def blend(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a frame coloured by its heatmap; where the heat is 0 the picture is unchanged.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        heat: (H, W) in [0, 1]. The colour map is perceptually uniform; opacity grows in proportion to the heat.

    Returns:
        (H, W, 3) uint8 RGB, each value within 1 of the exact mixture.
    """
    levels = cv2.convertScaleAbs(heat, alpha=255)
    kept, laid = _shares()
    share = cv2.merge([cv2.LUT(levels, kept)] * 3)
    return cv2.add(cv2.multiply(pixels, share, scale=1 / 255), cv2.LUT(cv2.merge([levels] * 3), laid))


@lru_cache
def colours() -> np.ndarray:
    """Return the colour map by level of heat, (256, 3) uint8 RGB."""
    found: np.ndarray = matplotlib.colormaps[COLORMAP](np.arange(256), bytes=True)[:, :3]
    return found


def opacity() -> np.ndarray:
    """Return the opacity of the colours by level of heat, (256,) from 0 to `OPACITY`."""
    return OPACITY * np.arange(256) / 255


@lru_cache
def _shares() -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the pixel, (256,) in 255ths, and the weighted colour, (1, 256, 3), for each level of heat."""
    laid = np.rint(opacity()[:, None] * colours()).astype(np.uint8)
    return np.rint(255 * (1 - opacity())).astype(np.uint8), laid[None]
