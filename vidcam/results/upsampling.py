"""Upsampling of heatmaps from the cells of a layer to pixels, without the crosses of bilinear interpolation.

Cubic convolution (Keys 1981, doi 10.1109/TASSP.1981.1163711, eq. 15, a = -1/2), first from left to right, then from top
to bottom. After each, a value is limited to the range of the two cells beside it, so that there is no heat where no cell has
any, and none above that of the cells: at the centre of a cell the heat is that of the cell.

A cell is drawn over the pixels of its share of the region. In a network whose kernels have an odd size and are padded by
half of it, a cell looks at a place that is (stride - 1) / 2 pixels of the network's input above and to the left of that
centre; layers tell their strides and no offsets, so this is not corrected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """Positions along an axis of a map.

    Attributes:
        shares: (N, cells) float32, share of each cell in each position; some are below 0.
        before: (N,) index of the cell before each position; of the last but one after it.
    """

    shares: np.ndarray
    before: np.ndarray


def axis_of(at: np.ndarray, start: float, end: float, cells: int) -> Axis:
    """Return positions along an axis of a map; beyond the centres of the outer cells the heat stays the same.

    Args:
        at: (N,) positions in pixels; the centre of the first pixel is 0.5.
        start, end: pixels over which the map is stretched.
        cells: of the map along this axis.

    Example:
        >>> axis_of(np.array([0.5, 1.0, 1.5]), 0, 2, 2).shares.tolist()
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    places = np.clip((at - start) / (end - start) * cells - 0.5, 0, cells - 1)
    before = np.minimum(places.astype(int), max(0, cells - 2))
    shares = np.zeros((len(at), cells))
    for offset in (-1, 0, 1, 2):
        cell = np.clip(before + offset, 0, cells - 1)  # the outer cells go on
        np.add.at(shares, (np.arange(len(at)), cell), _kernel(places - before - offset))
    return Axis(shares.astype(np.float32), before)


def placed(pixels: int, start: float, end: float, cells: int) -> tuple[slice, Axis]:
    """Return the pixels of a picture that a map is stretched over along an axis, and their positions in the map.

    Args:
        pixels: of the picture along this axis.
        start, end: pixels over which the map is stretched.
        cells: of the map along this axis.
    """
    at = np.arange(pixels) + 0.5
    first, last = np.searchsorted(at, (start, end)).tolist()
    return slice(first, last), axis_of(at[first:last], start, end, cells)


def upsampled(cells: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """Return the heat at positions, (H, W) float32, given a map (h, w) and its axes of H and W positions."""
    wide = across(cells, columns)
    return _limited(rows.shares @ wide, wide, rows.before, 0)  # the large one: whole rows are taken faster than columns


def across(cells: np.ndarray, columns: Axis) -> np.ndarray:
    """Return the heat at positions of each row of cells, (h, W) float32, given a map (h, w) and its axis of W positions."""
    return _limited(cells @ columns.shares.T, cells, columns.before, 1)


def _kernel(distance: np.ndarray) -> np.ndarray:
    s = np.abs(distance)
    return np.where(s < 1, (1.5 * s - 2.5) * s**2 + 1, np.where(s < 2, ((2.5 - 0.5 * s) * s - 4) * s + 2, 0.0))


def _limited(values: np.ndarray, cells: np.ndarray, before: np.ndarray, axis: int) -> np.ndarray:
    """Limit values, in place, to the range of the two cells beside their position along an axis, and return them."""
    count = cells.shape[axis]
    first = np.take(cells, np.arange(max(1, count - 1)), axis)
    second = np.take(cells, np.arange(count > 1, count), axis)
    np.maximum(values, np.take(np.minimum(first, second), before, axis), out=values)
    return np.minimum(values, np.take(np.maximum(first, second), before, axis), out=values)
