from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from tests.export.conftest import localization
from vidcam.export.timeline import timeline_figure
from vidcam.metrics.localization import Truth
from vidcam.results.localization import Localization
from vidcam.temporal.segments import Segment

FRAMES = 20


def _found(**changes: object) -> Localization:
    return localization(Path("clip.mp4"), FRAMES, (12, 16), **changes)


def _bars(figure: Figure, outlined: bool) -> list[tuple[float, float, float, float, np.ndarray]]:
    """Start, end, bottom, top and colour of each bar: of segments, or of truths, which have an outline alone."""
    found = []
    for bar in figure.axes[0].collections:
        assert isinstance(bar, PolyCollection)
        points = bar.get_paths()[0].vertices
        is_outline = not len(bar.get_facecolor()) or bar.get_facecolor()[0, 3] == 0
        if is_outline == outlined and len(points) == 5:
            colour = bar.get_edgecolor()[0] if outlined else bar.get_facecolor()[0]
            found.append((*points.min(0)[:1], *points.max(0)[:1], points[:, 1].min(), points[:, 1].max(), colour))
    return found


def test_a_row_for_each_class_with_its_curve() -> None:
    found = _found()
    figure = timeline_figure(found)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["waving", "bowing"]
    curves = [line for line in axes.lines if len(line.get_xdata()) == FRAMES]
    for line, scores, base in zip(curves, found.scores, (1, 0), strict=True):
        np.testing.assert_allclose(line.get_xdata(), found.times)
        np.testing.assert_allclose(line.get_ydata(), base + 0.62 * scores / 0.8, rtol=1e-6)
    areas = [area.get_paths()[0].vertices for area in axes.collections if len(area.get_paths()[0].vertices) > FRAMES]
    for area, scores, base in zip(areas, found.scores, (1, 0), strict=True):
        assert (area[:, 1].min(), area[:, 1].max()) == pytest.approx((base, base + 0.62 * scores.max() / 0.8))
    assert axes.get_title("left") == "clip.mp4"
    assert axes.get_title("right") == "m · l · gradcam++ · score curve, at most 0.8"
    assert axes.get_xlim() == pytest.approx((0, 2)) and axes.get_xlabel() == "time (s)"
    assert list(axes.get_yticks()) == pytest.approx([1.3, 0.3]) and axes.get_ylim() == pytest.approx((-0.05, 2.15))
    grounds = [float(line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 2]
    assert grounds == [1, 0]
    colours = matplotlib.colormaps["viridis"]([0.1, 0.8])
    for line, colour in zip(curves, colours, strict=True):
        np.testing.assert_allclose(line.get_color(), colour)


def test_the_scale_of_the_curves_is_at_the_right_and_the_scores_of_segments_above_their_bars() -> None:
    figure = timeline_figure(_found(), [Truth("clip", "sitting", 0.2, 0.3)])
    axes = figure.axes[0]
    (scale,) = axes.child_axes
    ticks = zip(scale.get_yticks(), (label.get_text() for label in scale.get_yticklabels()), strict=True)
    assert [(pytest.approx(at), text) for at, text in ticks] == [(2, "0"), (2.62, "0.8"), (1, "0"), (1.62, "0.8")]
    assert [text.get_text() for text in axes.texts] == ["0.80", "0.60"]


def test_segments_are_bars_in_the_row_of_their_class_as_strong_as_their_scores() -> None:
    first, second = _bars(timeline_figure(_found()), outlined=False)
    assert first[:4] == pytest.approx((0, 1, 1.68, 1.82)) and second[:4] == pytest.approx((1, 2, 0.68, 0.82))
    colours = matplotlib.colormaps["viridis"]([0.1, 0.8])
    np.testing.assert_allclose(first[4][:3], colours[0, :3])
    np.testing.assert_allclose(second[4][:3], colours[1, :3])
    assert first[4][3] == pytest.approx(1) and second[4][3] == pytest.approx(0.15 + 0.85 * 0.75)


def test_truths_are_outlined_in_the_row_of_their_class() -> None:
    truths = [
        Truth("clip", "bowing", 0.9, 1.5),
        Truth("clip", "sitting", 0.2, 0.3),
        Truth("another", "waving", 0.0, 1.0),
    ]
    figure = timeline_figure(_found(), truths)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["waving", "bowing", "sitting"]
    drawn = _bars(figure, outlined=True)
    assert [bar[:4] for bar in drawn] == [pytest.approx((0.9, 1.5, 1.65, 1.85)), pytest.approx((0.2, 0.3, 0.65, 0.85))]
    assert all(tuple(bar[4]) == (0, 0, 0, 1) for bar in drawn)
    assert _bars(timeline_figure(_found()), outlined=True) == []


def test_proposals_that_lie_on_better_ones_are_not_drawn() -> None:
    segments = (Segment(0.0, 1.0, "waving", 0.8), Segment(0.05, 1.0, "waving", 0.7))
    assert len(_bars(timeline_figure(_found(segments=segments)), outlined=False)) == 1


def test_nothing_found() -> None:
    zeros = np.zeros((2, FRAMES), np.float32)
    figure = timeline_figure(_found(segments=(), scores=zeros))
    figure.canvas.draw()
    axes = figure.axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == FRAMES]
    assert [set(line.get_ydata()) for line in curves] == [{1}, {0}]
    assert _bars(figure, outlined=False) == []


def test_a_long_name_is_cut() -> None:
    title = timeline_figure(localization(Path("x" * 300 + ".mp4"), FRAMES, (12, 16))).axes[0].get_title("left")
    assert len(title) == 60 and title.startswith("xxx") and "…" in title
