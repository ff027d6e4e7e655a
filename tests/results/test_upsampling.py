from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.results.test_explanation import explanation
from vidcam.results.upsampling import axis_of, upsampled


def _keys(s: float) -> float:
    """Cubic convolution, Keys 1981, eq. 15."""
    s = abs(s)
    if s < 1:
        return 3 / 2 * s**3 - 5 / 2 * s**2 + 1
    return -1 / 2 * s**3 + 5 / 2 * s**2 - 4 * s + 2 if s < 2 else 0.0


def _along(values: list[float], place: float) -> float:
    """The value at a place between cells, limited to the range of the two beside it: one number at a time, float64."""
    last = len(values) - 1
    place = min(max(place, 0.0), float(last))
    before = min(int(place), max(0, last - 1))
    beside = values[before], values[min(before + 1, last)]
    total = sum(values[min(max(k, 0), last)] * _keys(place - k) for k in range(before - 1, before + 3))
    return min(max(total, min(beside)), max(beside))


def _slow(
    cells: np.ndarray, at: np.ndarray, across: np.ndarray, region: tuple[float, float, float, float]
) -> np.ndarray:
    left, top, right, bottom = region
    h, w = cells.shape
    found = np.zeros((len(at), len(across)))
    for j, x in enumerate(across):
        column = [_along(list(cells[i]), (x - left) / (right - left) * w - 0.5) for i in range(h)]
        for i, y in enumerate(at):
            found[i, j] = _along(column, (y - top) / (bottom - top) * h - 0.5)
    return found


@pytest.mark.parametrize("cells", [(1, 1), (1, 4), (2, 3), (7, 7)])
def test_it_is_limited_cubic_convolution(cells: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = rng.random(cells) * (rng.random(cells) > 0.4)
    region = (3.3, -2.0, 40.0, 25.9)
    at, across = np.sort(rng.uniform(-2, 25.9, 30)), np.sort(rng.uniform(3.3, 40, 35))
    rows, columns = axis_of(at, -2.0, 25.9, cells[0]), axis_of(across, 3.3, 40.0, cells[1])
    found = upsampled(values.astype(np.float32), rows, columns)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _slow(values, at, across, region), atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 60), st.integers(0, 2**31))
def test_heat_is_never_below_0_nor_above_the_hottest_cell(h: int, w: int, pixels: int, seed: int) -> None:
    values = np.random.default_rng(seed).exponential(1, (h, w)).astype(np.float32) ** 3
    at = np.arange(pixels) + 0.5
    found = upsampled(values, axis_of(at, 0, pixels, h), axis_of(at, 0, pixels, w))
    assert found.min() >= values.min() and found.max() <= values.max()


@pytest.mark.parametrize("pixels", [12, 13, 32, 77])
def test_a_peak_keeps_its_height_and_is_round(pixels: int) -> None:
    maps = np.zeros((1, 7, 7))
    maps[0, 3, 2], maps[0, 1, 5] = 4.0, 2.0
    heat = explanation(maps, size=(7 * pixels, 7 * pixels)).heatmap(0)
    assert heat.max() == pytest.approx(1, rel=0.01) and heat.min() == 0
    y, x = 3.5 * pixels, 2.5 * pixels
    weak = heat[pixels : 2 * pixels, 5 * pixels : 6 * pixels].max()
    assert weak == pytest.approx(0.5, rel=0.01)
    rows, columns = np.mgrid[: 7 * pixels, : 7 * pixels] + 0.5
    distance, angle = np.hypot(rows - y, columns - x) / pixels, np.arctan2(rows - y, columns - x)
    edge = (np.abs(heat - 0.5) < 0.15) & (distance < 1)  # of the level of half the peak
    straight, aslant = (edge & (np.abs(np.sin(2 * angle) ** 2 - k) < 0.3) for k in (0, 1))
    assert distance[aslant].mean() == pytest.approx(distance[straight].mean(), rel=0.055), "bilinear: 7 % less"


def test_a_map_of_one_value_and_a_slope_stay_what_they_are() -> None:
    at = np.linspace(1.0, 5.0, 33)
    axis = axis_of(at, 0, 6, 6)
    slope = np.arange(6, dtype=np.float32)
    np.testing.assert_allclose(upsampled(np.tile(slope, (6, 1)), axis, axis), np.tile(at - 0.5, (33, 1)), atol=0.08)
    inner = (at >= 1.5) & (at <= 4.5)  # Keys is exact for slopes away from the ends
    np.testing.assert_allclose(
        upsampled(np.tile(slope, (6, 1)), axis, axis)[:, inner], np.tile(at - 0.5, (33, 1))[:, inner], atol=1e-6
    )
    np.testing.assert_allclose(upsampled(np.full((6, 6), 0.3, np.float32), axis, axis), 0.3, atol=1e-6)
