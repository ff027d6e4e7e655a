from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.export.blend import blend
from vidcam.export.compare import Comparison, compare, curves_figure, frames_of_grid, grid_figure
from vidcam.export.overlay import Overlay
from vidcam.export.panes import panes_of
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.video.reader import Clip

FRAMES = 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [numbered(i, 200, 300) for i in range(FRAMES)], audio="aac")


def _explanations(clip: Path) -> list[Explanation]:
    """Two classes of one unit, the second half as strong; and another method, of another unit."""
    strong = np.zeros((FRAMES, 2, 2))
    strong[:, 0, 0] = np.linspace(1, 4, FRAMES)
    one = explanation(strong, clip=clip, size=(200, 300), target=ExplainedTarget(0, "a <b> $x$", 0.5))
    other = replace(one, maps=one.maps / 2, evidence=one.evidence / 2, target=ExplainedTarget(1, "waving", 0.2))
    return [one, other, replace(one, method="layercam", maps=one.maps * 100)]


def test_one_unit_has_one_scale_and_titles_tell_panes_apart(clip: Path) -> None:
    panes = panes_of(_explanations(clip))
    assert [p.peak for p in panes] == [4, 4, 400]
    assert [p.title for p in panes] == ["a <b> $x$ · gradcam++", "waving · gradcam++", "a <b> $x$ · layercam"]
    assert [p.title for p in panes_of(_explanations(clip)[:2])] == ["a <b> $x$", "waving"]
    assert [p.heading for p in panes_of(_explanations(clip)[::2])] == ["gradcam++ · a <b> $x$", "layercam · a <b> $x$"]


def test_motion_and_appearance_share_the_scale_of_the_whole(clip: Path) -> None:
    one, other, _ = _explanations(clip)
    split = [
        replace(one, kind="motion", scale=(5.0, 7.0)),
        replace(other, target=one.target, kind="appearance", scale=(5.0, 7.0)),
    ]
    assert [(p.title, p.peak, p.highest) for p in panes_of(split)] == [("motion", 5.0, 7.0), ("appearance", 5.0, 7.0)]


def test_a_faint_class_looks_faint_beside_a_strong_one(clip: Path) -> None:
    comparison = Comparison(panes_of(_explanations(clip)))
    frame = next(iter(Clip(clip)))
    sheet = comparison.draw(frame.pixels, FRAMES - 1)
    assert sheet.shape == (*comparison.size, 3) and sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    hot = [sheet[20, column * comparison.size[1] // 3 + 20].astype(int) for column in range(3)]
    colours = matplotlib.colormaps["inferno"](np.array([1.0, 0.5]), bytes=True)[:, :3].astype(int)
    under = frame.pixels[20, 20].astype(int)
    for found, colour, level in zip((hot[0], hot[1], hot[2]), colours[[0, 1, 0]], (1, 0.5, 1)):
        assert np.abs(found - (under + 0.8 * level * (colour - under))).max() <= 4


@pytest.mark.slow
def test_a_film_a_grid_and_vectors_in_one_decoding(clip: Path, tmp_path: Path, decoded: Callable[[], int]) -> None:
    outputs = compare(_explanations(clip), tmp_path / "out")
    assert decoded() == FRAMES
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "compare.html",
        "compare.mp4",
        "curves.pdf",
        "curves.svg",
        "grid.png",
    ]
    film = Clip(outputs.film)
    assert [f.time for f in film] == pytest.approx([f.time for f in Clip(clip)]) and film.has_audio
    comparison = Comparison(panes_of(_explanations(clip)))
    for frame, shown in zip(Clip(clip), Clip(outputs.film), strict=True):
        assert np.abs(shown.pixels.astype(int) - comparison.draw(frame.pixels, frame.index)).mean() < 3
    with Image.open(outputs.grid) as grid:
        assert grid.size[0] > 1500
    svg = outputs.curves_svg.read_text(encoding="utf-8")
    assert "<script" not in svg and len(re.findall("<path", svg)) > 6
    assert outputs.curves_pdf.read_bytes().startswith(b"%PDF")
    with pytest.raises(OutputError, match="already holds"):
        compare(_explanations(clip), tmp_path / "out")


def test_a_grid_has_the_frames_of_the_clip_with_the_heat_of_their_panes(clip: Path) -> None:
    panes = panes_of(_explanations(clip))
    chosen = frames_of_grid(panes[0].explanation)
    stills = {f.index: f.pixels for f in Clip(clip) if f.index in chosen}
    grid = grid_figure(panes, stills)
    assert len(grid.axes) == 3 * 6 and len(chosen) == 6
    assert [axes.get_ylabel() for axes in grid.axes[::6]] == [
        "\n".join([*p.title.split(" · "), p.explanation.target.named()]) for p in panes
    ]
    assert grid.get_suptitle() == "m · l · clip.mp4", "what all panes share"
    marked = [replace(p, explanation=replace(p.explanation, warnings=("m has random weights: ",))) for p in panes[:2]]
    assert grid_figure(marked, stills).get_suptitle() == (
        "RANDOM WEIGHTS: THIS MEANS NOTHING\nm · gradcam++ · l · clip.mp4"
    )
    assert [axes.get_title() for axes in grid.axes[:6]] == [f"{index / 10:.2f} s" for index in chosen]
    for row, pane in enumerate(panes):
        for axes, index in zip(grid.axes[6 * row :], chosen):
            (image,) = axes.images
            expected = blend(stills[index], pane.explanation.heatmap(index, pane.peak))
            np.testing.assert_array_equal(image.get_array(), expected)
    hot = [grid.axes[6 * row + 5].images[0].get_array()[20, 20].astype(int) for row in range(3)]
    assert (hot[0] == hot[2]).all() and np.abs(hot[0] - hot[1]).max() > 30, "the second class is half as strong"


def test_the_labels_of_the_rows_of_a_grid_do_not_overlap() -> None:
    names = [("gradcam++", "layer3", "playground-r2plus1d"), ("gradcam", "relu4b", "playground-c3d")]
    found = [explanation(np.ones((2, 2, 2)), method=m, layer=at, model=model) for m, at, model in names]
    grid = grid_figure(panes_of(found), {0: np.zeros((64, 64, 3), np.uint8), 1: np.zeros((64, 64, 3), np.uint8)})
    grid.canvas.draw()
    upper, lower = (axes.yaxis.label.get_window_extent() for axes in grid.axes[::2])
    assert upper.y0 > lower.y1


def test_the_frames_of_a_grid_follow_the_evidence() -> None:
    evidence = np.zeros(100, np.float32)
    evidence[40:60] = 1
    chosen = frames_of_grid(explanation(np.ones((100, 2, 2)), evidence=evidence))
    assert len(chosen) == 6 and min(chosen) >= 40 and max(chosen) < 60
    assert np.diff(chosen) == pytest.approx([10 / 3] * 5, abs=1)
    assert frames_of_grid(explanation(np.zeros((3, 2, 2)))) == [0, 1, 2]


def test_equal_evidence_has_the_middles_of_equal_stretches() -> None:
    found = explanation(np.ones((30, 2, 2)), evidence=np.ones(30, np.float32))
    assert frames_of_grid(found) == [2, 7, 12, 17, 22, 27]
    evidence = np.array([0, 0, 9, 0, 0, 0, 0, 0, 0, 1], np.float32)
    assert frames_of_grid(explanation(np.ones((10, 2, 2)), evidence=evidence)) == [2, 9]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_rows_and_columns(clip: Path, count: int) -> None:
    """The overlays from left to right, three in a row, and black where a row has no more."""
    panes = panes_of([*_explanations(clip), *_explanations(clip)[:1]])[:count]
    comparison = Comparison(panes)
    pixels = numbered(3, 200, 300)
    alone = [Overlay(p.explanation, title=p.heading, peak=p.peak) for p in panes]
    height, width = alone[0].size
    rows, columns = (2 if count == 4 else 1), min(count, 3)
    sheet = comparison.draw(pixels, 3)
    assert comparison.size == (rows * height, columns * width) == sheet.shape[:2]
    cells = sheet.reshape(rows, height, columns, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    for cell, overlay in zip(cells, alone):
        np.testing.assert_array_equal(cell, overlay.draw(pixels, 3))
    assert not cells[count:].any() and len(cells) == rows * columns


@pytest.mark.parametrize(("count", "width", "cell"), [(2, 960, 960), (2, 1200, 960), (3, 1280, 640), (3, 1002, 640)])
def test_a_film_is_at_most_1920_pixels_wide(count: int, width: int, cell: int) -> None:
    found = [explanation(np.ones((2, 2, 2)), size=(500, width), method=f"m{n}") for n in range(count)]
    comparison, (overlay, *_) = Comparison(panes_of(found)), [Overlay(e, title=e.method) for e in found]
    height = overlay.size[0] * min(1, cell / width)
    assert comparison.size[1] == count * cell and comparison.size[0] % 2 == 0
    assert height - 2 <= comparison.size[0] <= height
    sheet = comparison.draw(np.full((500, width, 3), 90, np.uint8), 1)
    expected = cv2.resize(overlay.draw(np.full((500, width, 3), 90, np.uint8), 1), (cell, comparison.size[0]))
    assert sheet.shape[:2] == comparison.size
    assert np.abs(sheet[:, :cell].astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    ("size", "pixel", "shape"),
    [
        ((200, 300), 1.0, 1.5),
        ((200, 300), 2.0, 3.0),
        ((200, 300), 0.5, 0.75),
        ((10, 900), 1.0, 8.0),
        ((900, 10), 1.0, 0.125),
    ],
)
def test_the_pictures_of_a_grid_have_the_shape_of_the_clips(size: tuple[int, int], pixel: float, shape: float) -> None:
    panes = panes_of([explanation(np.ones((2, 2, 2)), size=size, method=method) for method in "ab"])
    grid = grid_figure(panes, {0: np.zeros((*size, 3), np.uint8), 1: np.zeros((*size, 3), np.uint8)}, pixel)
    assert grid.get_size_inches().tolist() == pytest.approx([2 * 1.6 * shape + 0.5, 2 * 1.6 + 0.6])
    for axes in grid.axes:
        assert axes.get_aspect() == 1 / pixel and len(axes.get_xticks()) == len(axes.get_yticks()) == 0


def test_the_curve_of_a_function_is_not_bounded_and_lies_before_the_evidence() -> None:
    scores = np.array([-3, 7], np.float32)
    one = explanation(np.zeros((2, 2, 2)), scores=scores, target=ExplainedTarget(None, "a - b", None, 2.0))
    figure = curves_figure(panes_of([one, replace(one, method="layercam")]))
    for front, behind in zip(figure.axes[:2], figure.axes[2:], strict=True):
        low, high = front.get_ylim()
        assert low <= -3 and high >= 7
        assert front.get_zorder() > behind.get_zorder() and not front.patch.get_visible()
        assert np.ptp(behind.collections[0].get_paths()[0].vertices[:, 1]) == 0


def test_the_curves_of_one_unit_share_its_scale(clip: Path) -> None:
    panes = panes_of(_explanations(clip))
    figure = curves_figure(panes)
    fronts, behinds = figure.axes[:3], figure.axes[3:]
    assert [front.get_xlabel() for front in fronts] == ["", "", "time (s)"]
    for front, behind, pane, share in zip(fronts, behinds, panes, (1, 0.5, 1), strict=True):
        found = pane.explanation
        (line,) = front.lines
        np.testing.assert_allclose(line.get_xydata(), np.stack([found.times, found.scores], 1), rtol=1e-6)
        (area,) = behind.collections
        points = area.get_paths()[0].vertices
        tops = [points[np.isclose(points[:, 0], t), 1].max() for t in found.times]
        assert tops == pytest.approx((found.evidence / found.evidence.max() * share).tolist(), rel=1e-5)
        assert front.get_title("left") == pane.title and front.get_ylim() == (0, 1) and behind.get_ylim() == (0, 1.05)


def test_what_cannot_be_compared(clip: Path, tmp_path: Path) -> None:
    one, other, _ = _explanations(clip)
    with pytest.raises(SettingsError, match="cannot be compared"):
        compare([one], tmp_path / "out")
    with pytest.raises(SettingsError, match="different clips"):
        compare([one, replace(other, clip="other.mp4")], tmp_path / "out")
    write_video(clip, [numbered(i, 200, 300) for i in range(FRAMES - 3)])
    with pytest.raises(ClipError, match="has changed since it was explained"):
        compare([one, other], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
