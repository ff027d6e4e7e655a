from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from tests.results.test_explanation import explanation
from vidcam.export.plots import curve_figure, write_curve_csv
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.temporal.motion import MotionShare


def _found() -> Explanation:
    """Five frames at uneven times whose score rises while the evidence, of another unit, falls."""
    return explanation(
        np.ones((5, 2, 2)),
        times=np.array([1.0, 1.1, 1.3, 1.6, 2.0]),
        scores=np.array([0.1, 0.2, 0.4, 0.7, 0.9], np.float32),
        evidence=np.array([50.0, 40.0, 30.0, 10.0, 0.0], np.float32),
    )


def outline(axes: Axes) -> np.ndarray:
    """(n, 2): the points of the one area of some axes, its upper and lower edge."""
    (area,) = axes.collections
    points: np.ndarray = area.get_paths()[0].vertices
    return points


def top_of(points: np.ndarray, at: np.ndarray) -> list[float]:
    """The height of an area at some places."""
    return [float(points[np.isclose(points[:, 0], x), 1].max()) for x in at]


def test_a_row_for_each_frame(tmp_path: Path) -> None:
    found = _found()
    write_curve_csv(found, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["frame"] for r in rows] == list("01234")
    assert [float(r["time_s"]) for r in rows] == pytest.approx(found.times.tolist())
    assert [float(r["score"]) for r in rows] == pytest.approx(found.scores.tolist())
    assert [float(r["evidence"]) for r in rows] == pytest.approx(found.evidence.tolist())


def test_the_motion_share_has_a_column_and_a_line(tmp_path: Path) -> None:
    shares = np.array([0.5, 0.25, np.nan, 1.0, 0.0])
    motion = MotionShare(0.5, 0.25, 0.75, 0.5, "", np.array([0.5]), np.array([[0.25, 0.75]]), shares)
    found = replace(_found(), kind="motion", motion=motion, scale=(9.0, 80.0))
    write_curve_csv(found, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="", encoding="utf-8") as file:
        assert [r["motion_share"] for r in csv.DictReader(file)] == ["0.5", "0.25", "", "1", "0"]
    axes, held = curve_figure(found).axes
    assert held.get_ylim()[1] == pytest.approx(84)  # the whole evidence's scale
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), shares)
    assert axes.get_title("left") == "a <b>, motion (motion share 0.50)  (0.500)"


def test_the_score_is_the_line_and_the_evidence_the_area() -> None:
    found = _found()
    front, behind = curve_figure(found).axes
    (line,) = front.lines
    np.testing.assert_allclose(line.get_xydata(), np.stack([found.times, found.scores], 1), rtol=1e-6)
    assert top_of(outline(behind), found.times) == pytest.approx(found.evidence.tolist())
    assert front.get_zorder() > behind.get_zorder() and not front.patch.get_visible(), "the area would hide the line"
    assert front.get_ylim() == (0, 1.02) and front.get_xlim() == (1, 2)
    assert behind.get_ylim() == pytest.approx((0, 52.5))
    assert front.get_ylabel() == "score" and "evidence" in behind.get_ylabel() and front.get_xlabel() == "time (s)"
    assert front.get_title("left") == "a <b>  (0.500)" and front.get_title("right") == "m · l · gradcam++"


def test_a_value_is_not_bounded_and_has_its_unit() -> None:
    found = replace(_found(), scores=np.linspace(-3, 7, 5), target=ExplainedTarget(0, "age", None, 2.0, "years"))
    axes = curve_figure(found).axes[0]
    low, high = axes.get_ylim()
    assert low <= -3 and high >= 7
    assert axes.get_title("left") == "age  (2 years)" and axes.get_ylabel() == "value (years)"


def test_a_single_frame_without_evidence() -> None:
    figure = curve_figure(explanation(np.zeros((1, 2, 2))))
    figure.canvas.draw()
    assert figure.axes[0].get_xlim() == (0, 1) and figure.axes[1].get_ylim() == pytest.approx((0, 1.05))


@pytest.mark.parametrize("evidence", [1e-9, 1.5e-4, 0.00234, 1.0, 7.0, 65432.1, 1e8])
@pytest.mark.parametrize("value", [0.0, -43210.5, 0.000321])
def test_labels_lie_beside_their_numbers_and_inside_the_figure(evidence: float, value: float) -> None:
    found = explanation(evidence * np.random.default_rng(0).random((5, 2, 2)))
    if value:
        target = ExplainedTarget(0, "age", None, value, "years")
        found = replace(found, target=target, scores=np.linspace(0, value, 5))
    figure = curve_figure(found)
    figure.canvas.draw()
    width, height = figure.bbox.size
    for axes, sign in zip(figure.axes, (-1, 1)):
        label, (low, high) = axes.yaxis.label.get_window_extent(), axes.get_ylim()
        numbers = [t.get_window_extent() for t in axes.yaxis.get_ticklabels() if low <= t.get_position()[1] <= high]
        assert label.x0 >= 0 and label.x1 <= width and label.y0 >= 0 and label.y1 <= height
        assert (label.x0 if sign < 0 else width - label.x1) <= 0.03 * width
        assert all(label.x1 < n.x0 for n in numbers) if sign < 0 else all(n.x1 < label.x0 for n in numbers)
    assert figure.axes[0].xaxis.label.get_window_extent().y0 >= 0
    assert figure.axes[0].title.get_window_extent().y1 <= height
