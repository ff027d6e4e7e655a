"""Levels of heat of every pixel of a frame, in bands of rows that stay in a processor's cache.

A level is heat in whole numbers from 0 to 255, 255 where the colours end. The heat is that of
`vidcam.results.upsampling.upsampled`, which is computed for a whole frame at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from threading import local
from typing import NamedTuple

import cv2
import numpy as np

from vidcam.results.explanation import Explanation
from vidcam.results.upsampling import Axis, across, placed

_PIXELS = 1 << 17  # of a band, at most, where two rows do not have more


class Band(NamedTuple):
    """Rows of a frame, from the first column with heat to the last one.

    Attributes:
        rows, columns: of the frame; they begin and end at even numbers.
        levels: of these pixels, (rows, columns) uint8.
    """

    rows: slice
    columns: slice
    levels: np.ndarray


class Levels:
    """The levels of heat of the frames of a clip.

    Args:
        explanation: of a clip.
        peak: raw heat at which the colours end.
        size: (height, width) in pixels, both even, in which the frames are drawn.

    Attributes:
        most: pixels of a band, at most.
    """

    def __init__(self, explanation: Explanation, peak: float, size: tuple[int, int]) -> None:
        (height, width), (_, h, w) = size, explanation.maps.shape
        down, along = height / explanation.size[0], width / explanation.size[1]
        left, top, right, bottom = np.array(explanation.region) * [along, down, along, down]
        self._maps, self._scale = explanation.maps, 255 / (peak or 1.0)
        self._width = width
        self._inside, self._columns = placed(width, left, right, w)
        inside, rows = placed(height, top, bottom, h)
        high = min(height, max(2, _PIXELS // width // 2 * 2))
        bands = [slice(start, min(start + high, height)) for start in range(0, height, high)]
        self._bands = [(band, _strips(band, inside, rows)) for band in bands]
        self.most = high * width
        self._of_thread = _Pixels(self.most)

    def bands(self, frame: int, least: float) -> Iterator[Band]:
        """Yield the bands of a frame, by its index, from top to bottom; the levels of one are overwritten by the next.

        Args:
            frame: index of the frame.
            least: heat, as a level with a fraction; columns without more of it are left out at both sides.
        """
        wide = np.zeros((self._maps.shape[1], self._width), np.float32)
        wide[:, self._inside] = across(self._maps[frame] * self._scale, self._columns)
        above, below = wide[: max(1, len(wide) - 1)], wide[min(1, len(wide) - 1) :]
        outside = np.zeros((1, self._width), np.float32)
        lowest = np.concatenate([np.minimum(above, below), outside])
        highest = np.concatenate([np.maximum(above, below), outside])
        limits = cv2.convertScaleAbs(lowest), cv2.convertScaleAbs(highest)
        for rows, strips in self._bands:
            warm = np.flatnonzero(highest[[strip.before for strip in strips]].max(0) > least)
            columns = slice(int(warm[0]) // 2 * 2, int(warm[-1]) // 2 * 2 + 2) if len(warm) else slice(0, 0)
            size = rows.stop - rows.start, columns.stop - columns.start
            heat, levels = (pixels[: size[0] * size[1]].reshape(size) for pixels in self._of_thread.pixels)
            if len(warm):
                for strip in strips:
                    np.matmul(strip.shares, wide[strip.cells, columns], out=heat[strip.rows])
                cv2.convertScaleAbs(cv2.threshold(heat, 0, 0, cv2.THRESH_TOZERO, heat)[1], levels)
                for strip in strips:  # a rounded value is limited to the rounded limits
                    part = levels[strip.rows]
                    for limit, limited in zip(limits, (np.maximum, np.minimum)):
                        limited(part, limit[strip.before, columns], out=part)
            yield Band(rows, columns, levels)


class _Pixels(local):
    """Arrays of heat and of levels of a band's pixels, which each thread has for itself.

    Args:
        most: pixels of a band, at most.
    """

    def __init__(self, most: int) -> None:
        self.pixels = np.empty(most, np.float32), np.empty(most, np.uint8)


class _Strip(NamedTuple):
    """Rows of a band between two rows of cells.

    Attributes:
        rows: in the band.
        cells: the rows of the map that their heat is made of.
        shares: (rows, cells) float32, their shares.
        before: the row of cells above them; the number of these, but for the last, outside the region.
    """

    rows: slice
    cells: slice
    shares: np.ndarray
    before: int


def _strips(band: slice, inside: slice, axis: Axis) -> list[_Strip]:
    """Return the strips of a band, given its rows, those of the region, and their positions in the map."""
    count, cells = band.stop - band.start, axis.shares.shape[1]
    shares, before = np.zeros((count, cells), np.float32), np.full(count, max(1, cells - 1))
    first, last = np.clip([inside.start, inside.stop], band.start, band.stop).tolist()
    shares[first - band.start : last - band.start] = axis.shares[first - inside.start : last - inside.start]
    before[first - band.start : last - band.start] = axis.before[first - inside.start : last - inside.start]
    strips = []
    for start, stop in pairwise([0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), count]):
        cell = int(before[start])
        near = slice(max(0, cell - 1), min(cells, cell + 3))
        strips.append(_Strip(slice(start, stop), near, np.ascontiguousarray(shares[start:stop, near]), cell))
    return strips
