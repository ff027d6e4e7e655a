"""Contours: lines of equal heat, bright on a dark edge, which stay legible on any picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import contourpy
import cv2
import numpy as np

from vidcam.export.blend import colours
from vidcam.results.explanation import Explanation
from vidcam.results.upsampling import axis_of, upsampled

LEVELS = (0.2, 0.4, 0.6, 0.8)
"""Heat of the lines, as shares of the heat at which the colours end."""

EDGE = (10, 10, 14)
"""Colour of the edges of lines."""

_PER_CELL = 4  # points along an axis of a map at which the heat is computed
_THICKNESS = 400  # pixels of a picture's width for one of the thickness of a line
_SHIFT = 4  # bits of a coordinate after the point


class Line(NamedTuple):
    """A line of equal heat.

    Attributes:
        level: its heat, one of `LEVELS`.
        points: (N, 2) x and y in pixels of the frame; the centre of the first pixel is 0.5.
    """

    level: float
    points: np.ndarray


def line_colour(level: float, colormap: str) -> tuple[int, int, int]:
    """Return the colour of a line, RGB: that of its heat, lightened so that it stands out from its edge."""
    red, green, blue = (round(255 - 0.45 * (255 - int(c))) for c in colours(colormap)[round(255 * level)])
    return red, green, blue


def lines_of(explanation: Explanation, frame: int, peak: float) -> list[Line]:
    """Return the lines of equal heat of a frame, by its index, the faintest first.

    Args:
        explanation: of the clip.
        frame: index of the frame.
        peak: raw heat that counts as 1.
    """
    left, top, right, bottom = explanation.region
    _, h, w = explanation.maps.shape
    x = left + (np.arange(_PER_CELL * w) + 0.5) / (_PER_CELL * w) * (right - left)
    y = top + (np.arange(_PER_CELL * h) + 0.5) / (_PER_CELL * h) * (bottom - top)
    heat = upsampled(explanation.maps[frame] / (peak or 1.0), axis_of(y, top, bottom, h), axis_of(x, left, right, w))
    generator = contourpy.contour_generator(x, y, heat)
    return [Line(level, np.asarray(points)) for level in LEVELS for points in generator.lines(level)]


def draw_lines(
    picture: np.ndarray,
    lines: Sequence[Line],
    scale: tuple[float, float],
    inks: Sequence[Sequence[float]],
    sampling: int = 1,
) -> None:
    """Draw lines into a picture or a plane of it, in place; their thickness is a share of the picture's width.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        lines: in pixels of the frame.
        scale: samples of the picture for one pixel of the frame, along x and y.
        inks: values of the edge, and of the lines of each of `LEVELS`.
        sampling: pixels for a sample of a plane, along an axis.
    """
    core = max(2, round(picture.shape[1] * sampling / _THICKNESS))
    whole = core + 2 * max(1, round(core / 2))
    core, whole = max(1, round(core / sampling)), max(1, round(whole / sampling))
    paths = [np.rint((line.points * scale - 0.5) * 2**_SHIFT).astype(np.int32) for line in lines]
    cv2.polylines(picture, paths, False, inks[0], whole, cv2.LINE_AA, _SHIFT)
    for level, ink in zip(LEVELS, inks[1:]):
        of_level = [path for line, path in zip(lines, paths) if line.level == level]
        cv2.polylines(picture, of_level, False, ink, core, cv2.LINE_AA, _SHIFT)
