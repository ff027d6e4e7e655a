from __future__ import annotations

import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.export.levels import Levels

SIZE = (480, 640)


@pytest.mark.parametrize("cells", [(14, 14), (7, 3), (1, 1), (1, 6), (5, 1), (40, 56)])
@pytest.mark.parametrize(
    "region",
    [(0.0, 0.0, 640.0, 480.0), (101.3, 20.6, 517.8, 399.2), (7.0, 430.5, 633.0, 471.0), (590.0, 3.0, 601.0, 9.0)],
)
def test_levels_are_those_of_the_heatmap(cells: tuple[int, int], region: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((2, *cells)) * (rng.random((2, *cells)) > 0.4)
    found = explanation(maps, size=SIZE, region=region)
    peak = 0.8 * found.peak
    levels = Levels(found, peak, SIZE)
    for frame in (1, 0):
        exact = 255 * np.minimum(found.heatmap(frame, peak).astype(np.float64), 1)
        drawn, end = np.zeros(SIZE), 0
        for band in levels.bands(frame, 0.5):
            assert (band.rows.start, band.rows.start % 2, band.columns.start % 2, band.columns.stop % 2) == (
                end,
                0,
                0,
                0,
            )
            drawn[band.rows, band.columns], end = band.levels, band.rows.stop
        assert end == SIZE[0]
        np.testing.assert_allclose(drawn, exact, rtol=0, atol=0.501)  # rounded; half of a level is left out


def test_columns_without_heat_are_left_out_at_both_sides_and_none_where_all_is_asked_for() -> None:
    maps = np.zeros((2, 6, 8))
    maps[0, 1, 3] = 1
    levels = Levels(explanation(maps, size=SIZE), 1.0, SIZE)
    (rows, columns, _), *others = levels.bands(0, 0.5)
    assert (
        rows.start == 0 and 200 <= columns.start <= 204 and 356 <= columns.stop <= 360
    )  # centres of cells: 200 and 360
    assert all(band.levels.size == 0 for band in others[1:])
    assert all(band.levels.size == 0 for band in levels.bands(1, 0.5))
    assert all(band.columns == slice(0, 640) and not band.levels.any() for band in levels.bands(1, -0.5))
