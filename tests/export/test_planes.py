from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import av
import cv2
import matplotlib
import numpy as np
import pytest

from tests.conftest import numbered, plane_values, write_video
from tests.results.test_explanation import explanation
from vidcam.export import playback
from vidcam.export.overlay import OUTLINE, Overlay
from vidcam.export.planes import drawn_in_planes
from vidcam.export.playback import Film
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import Explanation
from vidcam.results.upsampling import placed, upsampled
from vidcam.video.colour import BT709
from vidcam.video.planes import from_rgb, matrix_of, planes_of
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter, film_frame

FRAMES, SIZE = 3, (416, 640)
WHOLE, PART = (0.0, 0.0, 640.0, 416.0), (101.3, 20.6, 517.8, 399.2)


def _clip(folder: Path, pixel_format: str = "yuv420p", size: tuple[int, int] = SIZE) -> Clip:
    """Soft pictures, coded without loss."""
    rng = np.random.default_rng(0)
    frames = [
        cv2.resize(rng.integers(0, 256, (9, 13, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
        for _ in range(FRAMES)
    ]
    jpeg = pixel_format.startswith("yuvj")
    codec, options = ("mjpeg", {"qscale": "1"}) if jpeg else ("ffv1", {})
    return Clip(write_video(folder / "clip.mkv", frames, codec=codec, pixel_format=pixel_format, options=options))


def _found(clip: Clip, region: tuple[float, ...], cells: tuple[int, int] = (14, 14)) -> Explanation:
    rng = np.random.default_rng(1)
    maps = rng.random((FRAMES, *cells)) * (rng.random((FRAMES, *cells)) > 0.3)
    scores = rng.random(FRAMES).astype(np.float32)
    return explanation(maps, clip=clip.path, size=(clip.height, clip.width), region=region, scores=scores)


def _values(image: av.VideoFrame, size: tuple[int, int]) -> list[np.ndarray]:
    """Y, U and V as they are coded, in values of 8 bits and limited range, at the size of the picture, float64."""
    planes = plane_values(image, full="yuvj" in image.format.name)
    if (image.height, image.width) != size:  # 4:2:0, enlarged
        planes = [
            cv2.resize(v, (size[1] // (1 + (k > 0)), size[0] // (1 + (k > 0))), interpolation=cv2.INTER_CUBIC)
            for k, v in enumerate(planes)
        ]
    return [v.repeat(size[0] // v.shape[0], 0).repeat(size[1] // v.shape[1], 1) for v in planes]


def _exact(image: av.VideoFrame, overlay: Overlay, frame: int, clip: Clip) -> list[np.ndarray]:
    """The formula of the blend in float64, without any rounding, U and V averaged over four pixels."""
    size, found = overlay.picture, overlay.explanation
    scale = size[0] / found.size[0], size[1] / found.size[1]
    left, top, right, bottom = np.array(found.region) * [scale[1], scale[0], scale[1], scale[0]]
    (down, rows), (along, columns) = placed(size[0], top, bottom, 14), placed(size[1], left, right, 14)
    heat = np.zeros(size)
    heat[down, along] = upsampled(found.maps[frame] / found.peak, rows, columns)
    colours = matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255
    matrix = matrix_of(clip.colour)
    table = colours @ matrix[:, :3].T + matrix[:, 3]
    line = np.zeros(size, np.uint8)
    if overlay.outlined is not None:
        cv2.rectangle(line, *overlay.outlined, 1, 1)
    outline = matrix @ [*OUTLINE, 1]
    mixtures = []
    for k, values in enumerate(_values(image, size)):
        colour = np.interp(heat * 255, np.arange(256), table[:, k])
        mixed = np.where(line, outline[k], (1 - 0.8 * heat) * values + 0.8 * heat * colour)
        mixtures.append(mixed if k == 0 else mixed.reshape(size[0] // 2, 2, size[1] // 2, 2).mean((1, 3)))
    return mixtures


def _coded(clip: Clip) -> list[av.VideoFrame]:
    with av.open(str(clip.path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize(
    ("pixel_format", "size"),
    [
        *(
            (name, SIZE)
            for name in ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuvj420p")
        ),
        ("yuv420p", (104, 160)),
        ("yuv420p", (256, 340)),
    ],
)
def test_pixels_are_nearer_to_the_formula_than_by_way_of_rgb(
    pixel_format: str, size: tuple[int, int], part: bool, tmp_path: Path
) -> None:
    clip = _clip(tmp_path, pixel_format, size)
    region = np.array(PART if part else WHOLE) * ([size[1] / SIZE[1], size[0] / SIZE[0]] * 2)
    overlay = Overlay(_found(clip, tuple(region.tolist())))
    assert (overlay.picture == size) == (size == SIZE)
    draw = drawn_in_planes(overlay, clip.colour)
    assert draw is not None
    for frame, image in zip(clip, _coded(clip)[:2]):
        assert frame.planes is not None
        exact = _exact(image, overlay, frame.index, clip)
        ours = planes_of(draw(frame.planes, frame.index))
        theirs = planes_of(film_frame(overlay.draw(frame.pixels, frame.index), clip.colour))
        for mine, other, wanted in zip(ours, theirs, exact):
            mine, other = (np.abs(plane[: len(wanted)] - wanted) for plane in (mine, other))
            assert mine.max() <= min(2.1, other.max())
            # In another format each sample is rounded once more, to that of the film.
            once = pixel_format == "yuv420p" and size == SIZE
            assert mine.mean() <= (min(0.3, other.mean()) if once else other.mean() + 0.09)


def test_the_strip_is_that_of_the_other_way(tmp_path: Path) -> None:
    clip = _clip(tmp_path)
    overlay = Overlay(_found(clip, WHOLE))
    draw = drawn_in_planes(overlay, clip.colour)
    assert draw is not None
    for frame in clip:
        assert frame.planes is not None
        ours = planes_of(draw(frame.planes, frame.index))
        theirs = from_rgb(overlay.strip.draw(frame.index), clip.colour)
        for k, (mine, other) in enumerate(zip(ours, theirs)):
            difference = np.abs(mine[SIZE[0] // (2 if k else 1) :].astype(int) - other)
            assert difference.shape == other.shape and difference.max() <= 1


def test_where_there_is_no_heat_the_frame_is_unchanged_and_so_is_the_one_that_was_given(tmp_path: Path) -> None:
    clip = _clip(tmp_path)
    found = replace(_found(clip, WHOLE), maps=np.zeros((FRAMES, 14, 14), np.float32))
    draw = drawn_in_planes(Overlay(found), clip.colour)
    assert draw is not None
    (frame, *_), (image, *_) = clip, _coded(clip)
    assert frame.planes is not None
    for plane, own, coded in zip(planes_of(draw(frame.planes, 0)), planes_of(frame.planes), planes_of(image)):
        assert np.array_equal(plane[: len(coded)], coded) and np.array_equal(own, coded)


@pytest.mark.parametrize(("size", "ratio"), [((1800, 90), 1.0), ((8300, 1000), 1.0), (SIZE, 0.5)])
def test_pictures_that_are_made_smaller_or_stand_beside_ground_are_drawn_in_rgb(
    size: tuple[int, int], ratio: float
) -> None:
    assert drawn_in_planes(Overlay(explanation(np.ones((2, 2, 2)), size=size), ratio), BT709) is None


@pytest.mark.parametrize(("size", "ratio"), [(SIZE, 1.0), ((104, 160), 1.0), ((480, 200), 1.0), (SIZE, 4 / 3)])
def test_other_pictures_are_drawn_in_planes(size: tuple[int, int], ratio: float) -> None:
    assert drawn_in_planes(Overlay(explanation(np.ones((2, 2, 2)), size=size), ratio), BT709) is not None


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("size", [SIZE, (208, 320)])
@pytest.mark.parametrize(
    "drawing",
    [
        Drawing("viridis", 1.0),
        Drawing("cividis", 0.4, 0.5),
        Drawing("magma", 0.9, 3.0),
        Drawing(style="heat"),
        Drawing("plasma", style="contours"),
        Drawing(style="side-by-side"),
    ],
)
def test_every_look_is_that_of_the_other_way(
    drawing: Drawing, size: tuple[int, int], part: bool, tmp_path: Path
) -> None:
    clip = _clip(tmp_path, size=size)
    region = np.array(PART if part else WHOLE) * size[0] / SIZE[0]
    overlay = Overlay(replace(_found(clip, tuple(region.tolist())), drawing=drawing))
    assert overlay.picture == SIZE
    draw = drawn_in_planes(overlay, clip.colour)
    assert draw is not None
    for frame in clip:
        assert frame.planes is not None
        ours = planes_of(draw(frame.planes, frame.index))
        theirs = planes_of(film_frame(overlay.draw(frame.pixels, frame.index), clip.colour))
        for mine, other in zip(ours, theirs):
            assert mine.shape == other.shape
            away = np.abs(mine.astype(int) - other)
            if (
                drawing.style == "contours"
            ):  # dense ones; a line is two samples of U and V wide, averaged over pixels or not
                assert away.mean() < 3.5 and (away > 12).mean() < 0.1
            else:
                # Enlarged, the other way smears the edge of the region over a pixel.
                assert away.mean() < 1.3 and (away > 12).mean() < (0.006 if size == SIZE else 0.01)


def test_a_film_is_drawn_without_rgb_where_its_clip_has_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = _clip(tmp_path)
    rgb: list[int] = []
    upright = Clip._upright_rgb
    monkeypatch.setattr(Clip, "_upright_rgb", lambda self, image: rgb.append(1) or upright(self, image))
    outputs = _found(clip, WHOLE).save(tmp_path / "out")
    assert not rgb and len(list(Clip(outputs.overlay))) == FRAMES


def test_several_threads_draw_the_same_pictures_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(
        tmp_path / "clip.mkv", [numbered(i, *SIZE) for i in range(20)], codec="ffv1", pixel_format="yuv420p"
    )
    rng = np.random.default_rng(2)
    found = explanation(rng.random((20, 7, 7)), clip=path, size=SIZE, scores=rng.random(20).astype(np.float32))
    overlay = Overlay(found)
    draw = drawn_in_planes(overlay, Clip(path).colour)
    assert draw is not None
    films: list[list[np.ndarray]] = []
    for threads in (1, 3):
        drew: set[str] = set()

        def drawn(image: av.VideoFrame, frame: int, drew: set[str] = drew) -> av.VideoFrame:
            drew.add(threading.current_thread().name)
            return draw(image, frame)

        pictures: list[np.ndarray] = []
        monkeypatch.setattr(playback, "_drawing_threads", lambda threads=threads: threads)
        monkeypatch.setattr(
            FilmWriter,
            "encode",
            lambda self, image, pts, into=pictures: into.append(np.concatenate(planes_of(image), None)),
        )
        stages = playback.play(
            found, Clip(path), [Film(tmp_path / "film.mp4", overlay.size, overlay.draw, draw_in_planes=drawn)]
        )
        assert len(drew) == threads and stages.seconds["draw_s"] > 0
        films.append(pictures)
    assert len(films[0]) == len(films[1]) == 20
    for one, three in zip(*films):
        assert np.array_equal(one, three)
    assert not np.array_equal(films[0][0], films[0][1])
