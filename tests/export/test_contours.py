from __future__ import annotations

import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.export.contours import EDGE, LEVELS, draw_lines, line_colour, lines_of
from vidcam.export.overlay import draw_heat
from vidcam.results.drawing import COLORMAPS, Drawing
from vidcam.results.explanation import Explanation


def _cone() -> Explanation:
    """Heat that falls in proportion to the distance from the middle of 21 x 21 cells of 20 pixels, to 0 at 200 pixels."""
    rows, columns = np.mgrid[:21, :21]
    return explanation(np.maximum(0, 1 - np.hypot(rows - 10, columns - 10) / 10)[None], size=(420, 420))


def _luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance, WCAG 2.2."""
    c = np.array(colour) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_lines_lie_where_the_heat_is_theirs() -> None:
    lines = lines_of(_cone(), 0, 1.0)
    assert [line.level for line in lines] == list(LEVELS)
    for line in lines:
        radius = np.hypot(*(line.points - 210).T)
        np.testing.assert_allclose(radius, 200 * (1 - line.level), atol=4)


def test_lines_follow_the_region_and_the_given_peak() -> None:
    found = explanation(np.array([[[1.0, 0.0]]]), size=(100, 300), region=(100.0, 0.0, 300.0, 100.0))
    (line,) = [line for line in lines_of(found, 0, 2.5) if line.level == 0.2]  # where the heat is half
    np.testing.assert_allclose(line.points[:, 0], 200, atol=1)


@pytest.mark.parametrize("ground", [0, 90, 255])
@pytest.mark.parametrize("colormap", COLORMAPS)
def test_lines_are_drawn_bright_with_a_dark_edge(colormap: str, ground: int) -> None:
    found = explanation(_cone().maps, size=(420, 420), drawing=Drawing(colormap, style="contours"))
    picture = np.full((420, 420, 3), ground, np.uint8)
    drawn = draw_heat(picture, found, 0, 1.0).astype(int)
    assert (picture == ground).all() and (drawn[[0, 209, 419], [0, 209, 419]] == ground).all(), (
        "no colours between lines"
    )
    for level in LEVELS:
        at = 210 + round(200 * (1 - level))
        row = drawn[210, at - 6 : at + 6]
        assert np.abs(row - line_colour(level, colormap)).max(1).min() <= 40
        assert np.abs(row - EDGE).max(1).min() <= 90  # a pixel wide, in part
        assert (row == ground).all(1).sum() >= 4


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_a_line_stands_out_from_its_edge(colormap: str) -> None:
    for level in LEVELS:
        contrast = (_luminance(line_colour(level, colormap)) + 0.05) / (_luminance(EDGE) + 0.05)
        assert contrast >= 4.5, "WCAG 2.2, 1.4.3"


def test_a_line_in_a_plane_has_its_value() -> None:
    plane = np.full((60, 60), 128, np.uint8)
    draw_lines(
        plane,
        lines_of(explanation(np.array([[[1.0, 0.0]]]), size=(120, 120)), 0, 1.0),
        (0.5, 0.5),
        [(0,), *[(200,)] * 4],
        2,
    )
    assert plane[30].max() > 170 and plane[30].min() < 100 and plane[30, :10].tolist() == [128] * 10


def test_a_frame_without_heat_has_no_lines() -> None:
    assert lines_of(explanation(np.zeros((1, 3, 3))), 0, 0.0) == []
