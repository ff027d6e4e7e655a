from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import write_video
from tests.results.test_explanation import explanation
from vidcam.explainer import explain
from vidcam.export.blend import blend
from vidcam.export.overlay import Overlay
from vidcam.export.page import write_report
from vidcam.export.text import fitted, text_width, write_text
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.video.reader import Clip

FRAMES, SIZE = 21, (400, 600)
GRAY = np.full((*SIZE, 3), 90, np.uint8)
INK, GROUND = (240, 240, 245), (18, 18, 24)


def test_cold_regions_keep_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(blend(picture, np.zeros((8, 8))), picture)
    heat = np.zeros((8, 8))
    heat[2, 3] = 1.0
    changed = (blend(picture, heat) != picture).any(2)
    assert changed[2, 3] and changed.sum() == 1


def test_heat_is_mixed_in_by_its_strength() -> None:
    rng = np.random.default_rng(1)
    picture, heat = rng.integers(0, 256, (20, 30, 3), np.uint8), rng.random((20, 30)).astype(np.float32)
    colour = matplotlib.colormaps["inferno"](np.rint(heat * 255).astype(int), bytes=True)[..., :3].astype(float)
    exact = picture + 0.8 * (np.rint(heat * 255) / 255)[..., None] * (colour - picture)
    assert np.abs(blend(picture, heat) - exact).max() <= 1.5


def _found(scores: np.ndarray, evidence: np.ndarray, maps: np.ndarray | None = None) -> Explanation:
    maps = np.zeros((FRAMES, 2, 2)) if maps is None else maps
    return explanation(
        maps, size=SIZE, scores=scores.astype(np.float32), evidence=evidence.astype(np.float32), times=_TIMES
    )


_TIMES = np.concatenate([np.arange(11) / 10, 1 + np.arange(1, 11) / 5])  # the second half takes twice as long


def _plot(found: Explanation, frame: int) -> np.ndarray:
    """The curve's part of the strip below an overlay: (h, width, 3)."""
    strip = Overlay(found).draw(GRAY, frame)[SIZE[0] :]
    ruled = np.nonzero((strip == (50, 50, 58)).all(2).all(1))[0]  # the line below the label
    return strip[ruled[-1] + 1 :].astype(int)


def _playhead(plot: np.ndarray) -> float:
    """The column that is bright from top to bottom, as a share of the way from the first frame to the last."""
    (columns,) = np.nonzero((plot.min(2) > 200).all(0))
    margin = round(round(SIZE[1] / 30) / 4)
    return float((columns.mean() - margin) / (SIZE[1] - 1 - 2 * margin))


@pytest.mark.parametrize("frame", [0, 3, 10, 17, 20])
def test_the_playhead_stands_at_the_time_of_the_frame(frame: int) -> None:
    plot = _plot(_found(np.full(FRAMES, 0.5), np.zeros(FRAMES)), frame)
    assert _playhead(plot) == pytest.approx(_TIMES[frame] / 3, abs=0.004)


def test_the_line_is_the_score_and_the_area_the_evidence() -> None:
    scores, evidence = np.linspace(0.1, 0.9, FRAMES), np.linspace(7, 0, FRAMES)
    plot = _plot(_found(scores, evidence), FRAMES - 1)
    margin = round(round(SIZE[1] / 30) / 4)
    high = plot.shape[0] - 2 * margin - (plot.shape[0] - 2 * margin) % 2
    base = plot.shape[0] - margin
    red, green, blue = (round(255 * c) for c in matplotlib.colormaps["inferno"](0.62)[:3])
    for share in (0.1, 0.25, 0.75):
        x = round(margin + share * (SIZE[1] - 1 - 2 * margin))
        line = plot[:, x].min(1).argmax()  # the whitest
        assert (base - line) / high == pytest.approx(np.interp(3 * share, _TIMES, scores), abs=0.1)
        warm = np.nonzero(np.abs(plot[:, x] - (red, green, blue)).max(1) < 8)[0]
        assert (base - warm.min()) / high == pytest.approx(np.interp(3 * share, _TIMES, evidence / 7), abs=0.1)


def test_what_is_still_to_come_is_dark() -> None:
    found = _found(np.full(FRAMES, 0.9), np.full(FRAMES, 1.0))
    early, late = _plot(found, 5), _plot(found, FRAMES - 1)
    x = SIZE[1] // 2
    assert early[:, : x // 3].max() == late[:, : x // 3].max() and early[-8, x].max() < 0.7 * late[-8, x].max()


def test_the_heat_is_that_of_the_frame_and_in_its_place() -> None:
    maps = np.zeros((FRAMES, 2, 2))
    maps[4, 0, 1], maps[9, 1, 0] = 1.0, 0.5
    overlay = Overlay(_found(np.zeros(FRAMES), np.ones(FRAMES), maps))
    hot, warm = (matplotlib.colormaps["inferno"](level, bytes=True)[:3] for level in (255, 128))
    for frame in range(FRAMES):
        picture = overlay.draw(GRAY, frame)[: SIZE[0]].astype(float)
        changed = np.argwhere((picture != GRAY).any(2))
        if frame == 4:
            assert np.abs(picture[20, -20] - (90 + 0.8 * (np.array(hot, float) - 90))).max() <= 2
            assert (picture[-20, 20] == 90).all()
        elif frame == 9:
            assert np.abs(picture[-20, 20] - (90 + 0.4 * (np.array(warm, float) - 90))).max() <= 2
            assert (picture[20, -20] == 90).all()
        else:
            assert len(changed) == 0


def _header(strip: np.ndarray) -> np.ndarray:
    """The part of a strip above its line: label and score."""
    (ruled,) = np.nonzero((strip == (50, 50, 58)).all(2).all(1))
    return strip[: ruled[0]]


def test_the_strip_has_the_label_and_the_score_of_the_frame() -> None:
    found = _found(np.linspace(0.1, 0.9, FRAMES), np.zeros(FRAMES))
    overlay, size = Overlay(found, title="waving"), round(SIZE[1] / 30)
    for frame, score in ((0, "0.10"), (3, "0.22"), (FRAMES - 1, "0.90")):
        header = _header(overlay.draw(GRAY, frame)[SIZE[0] :])
        expected = np.full_like(header, GROUND)
        middle, margin = round(1.7 * size) // 2, round(size / 4)
        write_text(expected, "waving", (margin, middle), size, INK, anchor="lm")
        write_text(expected, score, (SIZE[1] - margin, middle), size, INK, anchor="rm")
        np.testing.assert_array_equal(header, expected)
    own = _header(Overlay(found).draw(GRAY, 0)[SIZE[0] :])
    assert (own != _header(overlay.draw(GRAY, 0)[SIZE[0] :])).any(), "the target's label"


def test_a_long_label_ends_before_the_score() -> None:
    found = _found(np.full(FRAMES, 0.5), np.zeros(FRAMES))
    long, none = (Overlay(found, title=title).draw(GRAY, 0)[SIZE[0] :] for title in ("word " * 100, " "))
    columns = np.nonzero((long != none).any((0, 2)))[0]
    size = round(SIZE[1] / 30)
    room = SIZE[1] - 2 * round(size / 4) - 3 * size
    assert room - 2 * size < columns[-1] <= round(size / 4) + room


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40), st.integers(0, 400), st.sampled_from([13, 20]))
def test_a_text_is_cut_where_its_width_asks_for(text: str, width: int, size: int) -> None:
    text, cut = text.replace("\n", ""), fitted(text.replace("\n", ""), width, size)
    if cut != text:
        assert text_width(text, size) >= width and cut.endswith("…") and text.startswith(cut[:-1])
        assert cut == "…" or text_width(cut, size) <= width
        assert text_width(text[: len(cut)] + "…", size) >= width, "no more would fit"
    else:
        assert text_width(text, size) <= width


@pytest.mark.parametrize(
    ("size", "pixel", "picture", "beside"),
    [
        ((400, 600), 1.0, (400, 600), 0),
        ((267, 400), 1.0, (268, 400), 0),
        ((266, 400), 1.0, (532, 800), 0),
        ((48, 64), 1.0, (384, 512), 0),
        ((48, 64), 2.0, (384, 1024), 0),
        ((48, 64), 0.5, (576, 384), 0),  # 32 pixels wide: twelve times
        ((1000, 100), 1.0, (2000, 200), 120),
        ((16, 2000), 1.0, (16, 2000), 0),
        ((1100, 100), 1.0, (1100, 100), 220),
    ],
)
def test_small_clips_are_enlarged_and_narrow_ones_stand_at_the_left(
    size: tuple[int, int], pixel: float, picture: tuple[int, int], beside: int
) -> None:
    found = explanation(np.zeros((1, 2, 2)), size=size)
    overlay = Overlay(found, pixel)
    drawn = overlay.draw(np.full((*size, 3), 90, np.uint8), 0)
    assert drawn.shape == (*overlay.size, 3) and overlay.size[1] == picture[1] + beside
    assert (drawn[: picture[0], : picture[1]] == 90).all() and (drawn[: picture[0], picture[1] :] == GROUND).all()
    font = max(13, round(overlay.size[1] / 30))
    assert len(drawn) - picture[0] == 2 * round((round(1.7 * font) + 2 * round(font / 4)) / 2), (
        "a strip without a curve"
    )


def test_the_region_that_the_network_sees_is_framed() -> None:
    found = explanation(np.zeros((1, 2, 2)), size=SIZE, region=(100.0, 20.0, 500.0, 380.0))
    drawn = Overlay(found).draw(GRAY, 0)[: SIZE[0]]
    expected = GRAY.copy()
    expected[20:380, 100:500] = 200
    expected[21:379, 101:499] = 90
    np.testing.assert_array_equal(drawn, expected)
    for region in ((0.0, 0.0, 600.0, 380.0), (0.0, 0.0, 500.0, 400.0), (0.0, 20.0, 600.0, 400.0)):
        part = Overlay(explanation(np.zeros((1, 2, 2)), size=SIZE, region=region)).draw(GRAY, 0)[: SIZE[0]]
        assert (part != GRAY).any()
    assert (Overlay(explanation(np.zeros((1, 2, 2)), size=SIZE)).draw(GRAY, 0)[: SIZE[0]] == GRAY).all()


def test_boxes_are_places_of_the_drawn_picture() -> None:
    overlay = Overlay(explanation(np.zeros((1, 2, 2)), size=(48, 64)), 2.0)  # drawn at 384 x 1024
    assert overlay.corners([8, 6, 32, 24]) == ((128, 48), (511, 191))


def test_what_is_still_to_come_is_half_as_bright_behind_the_playhead() -> None:
    found = _found(np.full(FRAMES, 0.5), np.full(FRAMES, 1.0))
    early, late = _plot(found, 5), _plot(found, FRAMES - 1)
    margin = round(round(SIZE[1] / 30) / 4)
    x = int(margin + (SIZE[1] - 1 - 2 * margin) * 0.5 / 3)
    dark = late // 2 + np.array(GROUND) // 2
    beside = np.r_[x + 6 : SIZE[1] - 20]  # but for both points on the line
    np.testing.assert_array_equal(early[:, beside], dark[:, beside])
    np.testing.assert_array_equal(early[:, : x - 6], late[:, : x - 6])
    bright = (early.min(2) > 200).all(0)
    assert np.flatnonzero(bright).tolist() == [x]
    point = early[:, x + 2].min(1)
    base = len(early) - margin
    high = len(early) - 2 * margin - (len(early) - 2 * margin) % 2
    assert np.flatnonzero(point > 200).mean() == pytest.approx(base - 0.5 * high, abs=2), "the point lies on the line"


def test_the_given_peak_is_where_the_colours_end() -> None:
    maps = np.ones((FRAMES, 2, 2))
    picture = Overlay(_found(np.zeros(FRAMES), np.ones(FRAMES), maps), peak=2.0).draw(GRAY, 0)
    colour = np.array(matplotlib.colormaps["inferno"](128, bytes=True)[:3], float)
    assert np.abs(picture[200, 300] - (90 + 0.4 * (colour - 90))).max() <= 2


def test_the_pixels_given_are_not_changed() -> None:
    found = explanation(np.ones((2, 2, 2)), size=SIZE, region=(100.0, 0.0, 500.0, 400.0))
    pixels = GRAY.copy()
    Overlay(found).draw(pixels, 1)
    assert np.array_equal(pixels, GRAY)


def test_pixels_that_are_not_square_are_shown_square() -> None:
    found = explanation(np.ones((2, 2, 2)), size=(480, 640))
    height, width = Overlay(found, 4 / 3).size
    assert width in (852, 854) and height > 480


@pytest.mark.parametrize("label", ["x" * 300, "שלום 🎬 <script>", ""])
def test_any_label_can_be_drawn(label: str) -> None:
    found = explanation(np.ones((2, 2, 2)), size=(48, 64), target=ExplainedTarget(0, label, 0.1))
    overlay = Overlay(found)
    assert overlay.draw(np.zeros((48, 64, 3), np.uint8), 1).shape == (*overlay.size, 3)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@example(1, 20_000, 1e3)
@example(20_000, 1, 1e-3)
@example(1, 1, 1.0)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.floats(1e-3, 1e3))
def test_sizes_are_bounded_in_both_directions(height: int, width: int, aspect: float) -> None:
    overlay = Overlay(explanation(np.ones((2, 2, 2)), size=(height, width)), aspect)
    assert 320 <= overlay.size[1] <= 8192 and overlay.size[0] <= 8192 + 1400
    assert overlay.size[0] % 2 == overlay.size[1] % 2 == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (16, 2000), (4, 9000)])
def test_any_shape_gives_all_outputs(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), 20 * i, np.uint8) for i in range(4)]
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgra")
    found = explain(path)
    outputs = found.save(tmp_path / "out")
    film = Clip(outputs.overlay)
    assert max(film.width, film.height) <= 9000 and film.width * film.height < 2**24
    assert len(list(film)) == 4
    write_report([found], tmp_path / "out")


def test_the_strip_of_a_value_has_its_unit_and_its_own_scale() -> None:
    scores = np.linspace(20, 40, 5).astype(np.float32)
    one = explanation(
        np.zeros((5, 2, 2)), size=(300, 400), scores=scores, target=ExplainedTarget(0, "age", None, 30.0, "years")
    )
    bounded = replace(one, target=ExplainedTarget(0, "age", 0.5))
    frame = np.zeros((300, 400, 3), np.uint8)
    strips = [Overlay(each).draw(frame, 2)[300:] for each in (one, bounded)]
    line = [int(strip[24:, 110].sum(-1).argmax()) for strip in strips]  # row of the line at a quarter of the clip
    assert line[0] > line[1] + 5, "25 of 40 lies lower than a probability that is cut at 1"
    text = np.array(Image.new("RGB", (400, 40), (18, 18, 24)))
    write_text(text, "30 years", (200, 20), max(13, round(400 / 30)), (240, 240, 245), anchor="rm")
    ink = (text > 200).any(-1).sum(), (strips[0][:20, 200:] > 200).any(-1).sum()
    assert abs(int(ink[0]) - int(ink[1])) < 12
