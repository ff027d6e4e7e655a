"""Blend of a picture with the colours of its heatmap."""

from __future__ import annotations

from functools import lru_cache

import cv2
import matplotlib
import numpy as np

from vidcam.results.drawing import Drawing


def blend(pixels: np.ndarray, heat: np.ndarray, drawing: Drawing = Drawing()) -> np.ndarray:
    """Return a frame coloured by its heatmap; where the heat is 0, an overlay shows the picture unchanged.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        heat: (H, W) in [0, 1].
        drawing: colours and opacity, see `opacity`.

    Returns:
        (H, W, 3) uint8 RGB, each value within 1 of the exact mixture.
    """
    levels = cv2.convertScaleAbs(heat, alpha=255)
    kept, laid = _shares(drawing)
    share = cv2.merge([cv2.LUT(levels, kept)] * 3)
    return cv2.add(cv2.multiply(pixels, share, scale=1 / 255), cv2.LUT(cv2.merge([levels] * 3), laid))


@lru_cache
def colours(colormap: str) -> np.ndarray:
    """Return a colour map by level of heat, (256, 3) uint8 RGB."""
    found: np.ndarray = matplotlib.colormaps[colormap](np.arange(256), bytes=True)[:, :3]
    return found


def opacity(drawing: Drawing) -> np.ndarray:
    """Return the opacity of the colours by level of heat, (256,): 1 for heat alone, 0 for contours, else a power of it.

    Example:
        >>> opacity(Drawing(opacity=0.5, opacity_power=2.0))[[0, 51, 255]].round(3).tolist()
        [0.0, 0.02, 0.5]
    """
    if drawing.style in ("heat", "contours"):
        return np.full(256, float(drawing.style == "heat"))
    found: np.ndarray = drawing.opacity * (np.arange(256) / 255) ** drawing.opacity_power
    return found


@lru_cache
def _shares(drawing: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the pixel, (256,) in 255ths, and the weighted colour, (1, 256, 3), for each level of heat."""
    laid = np.rint(opacity(drawing)[:, None] * colours(drawing.colormap)).astype(np.uint8)
    return np.rint(255 * (1 - opacity(drawing))).astype(np.uint8), laid[None]
