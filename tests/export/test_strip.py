from __future__ import annotations

import cv2
import matplotlib
import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.export.strip import CAUTION, FAINT, GROUND, ON_CAUTION, Strip
from vidcam.export.text import text_width, wrapped, write_text
from vidcam.results.explanation import Explanation

RANDOM = "r2plus1d_18 has random weights: its explanations mean nothing; they show only that the pipeline runs"
ELSEWHERE = "playground-c3d knows rendered figures only; its answer about other clips means nothing"
WIDTHS = [320, 426, 640, pytest.param(1920, marks=pytest.mark.slow)]


def _found(**changes: object) -> Explanation:
    return explanation(np.ones((5, 2, 2)), scores=np.full(5, 0.5, np.float32), **changes)


def _has(strip: np.ndarray, text: str, size: int, ink: tuple[int, int, int], ground: tuple[int, int, int]) -> bool:
    """True if the text stands somewhere in the strip, up to a part of a pixel."""
    drawn = np.full((2 * size, text_width(text, size) + 2, 3), ground, np.uint8)
    write_text(drawn, text, (1, size), size, ink, anchor="lm")
    rows, columns = (np.flatnonzero((drawn != ground).any(2).any(axis)) for axis in (1, 0))
    drawn = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    soft = [cv2.GaussianBlur(picture, (3, 3), 0.8) for picture in (strip, drawn)]
    return bool(cv2.matchTemplate(*soft, cv2.TM_CCOEFF_NORMED).max() > 0.85)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_strip_names_class_score_model_method_and_layer_at_any_size(width: int) -> None:
    names = {"model": "r2plus1d_18-kinetics", "method": "gradcam++softmax", "layer": "layer4.1.conv2.0.3"}
    strip = Strip(_found(**names), width, "a", 0.0123, width)
    size = max(13, round(width / 30))
    small = max(11, round(0.65 * size))
    drawn = strip.draw(2)
    assert drawn.shape == (strip.height, width, 3)
    for text in [*names.values(), "score now", "heat 0", "0.0123"]:
        assert _has(drawn, text, small, FAINT, GROUND), text
    assert _has(drawn, "0.50", size, (240, 240, 245), GROUND)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_colour_bar_runs_through_the_colours_up_to_its_raw_value(width: int) -> None:
    strip = Strip(_found(), width, "a", 2.5, width)
    (left, top), (right, bottom) = strip.bar
    bar = strip.draw(0)[top:bottom, left:right]
    assert bar.shape[1] == round(0.16 * width) and 0 <= left < right < width
    colours = matplotlib.colormaps["inferno"](np.linspace(0, 1, right - left), bytes=True)[:, :3]
    assert np.abs(bar.astype(int) - colours).max() <= 8  # one of 256 levels beside it
    assert (bar == bar[:1]).all() and (bar[0, 0], bar[0, -1]) == (
        pytest.approx((0, 0, 3)),
        pytest.approx((252, 254, 164)),
    )


def test_a_clip_without_heat_says_so() -> None:
    assert _has(Strip(_found(), 640, "a", 0.0, 640).draw(0), "no heat", 14, FAINT, GROUND)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("warning", "text"),
    [
        (RANDOM, "random weights: this means nothing"),
        (ELSEWHERE, "not a clip of this network's kind: this means nothing"),
    ],
)
def test_an_explanation_that_means_nothing_has_a_mark_across_the_strip(width: int, warning: str, text: str) -> None:
    marked, plain = (
        Strip(_found(warnings=("a note", warning)), width, "a", 1.0, width),
        Strip(_found(), width, "a", 1.0, width),
    )
    size = max(13, round(width / 30))
    mark = marked.height - plain.height
    drawn = marked.draw(3)
    assert mark >= 1.4 * size and (drawn[:mark, [0, -1]] == CAUTION).all() and (drawn[[0, mark - 1]] == CAUTION).all()
    size = size if text_width(text, size) <= width - 2 * round(size / 4) else max(11, round(0.65 * size))
    assert _has(drawn[:mark], text, size, ON_CAUTION, CAUTION)
    np.testing.assert_array_equal(drawn[mark:], plain.draw(3))


def test_a_picture_has_a_score_and_no_moment() -> None:
    strip = Strip(explanation(np.ones((1, 2, 2))), 640, "a", 1.0, 640).draw(0)
    assert _has(Strip(_found(), 640, "a", 1.0, 640).draw(0), "score now", 14, FAINT, GROUND)
    assert _has(strip, "score", 14, FAINT, GROUND) and not _has(strip, "score now", 14, FAINT, GROUND)


def test_items_fill_lines_in_their_order() -> None:
    wide = text_width("bb · cc", 12)
    assert wrapped(["bb", "cc", "dd"], wide, 12) == ["bb · cc", "dd"]
    assert wrapped([], 100, 12) == [""] and wrapped(["a" * 50], wide, 12)[0].endswith("…")
