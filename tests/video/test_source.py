"""One contract that every source of frames keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import write_video
from tests.corpus.conftest import serving
from vidcam.errors import ClipError, SettingsError, VidcamError
from vidcam.evaluation.samples import Sample
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource, FrameSource, OnceSource, PicturesSource, _natural, source_of

RATE = 10
FRAMES = np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), np.uint8)


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"frame{index}.png" for index in range(len(FRAMES))]  # frame10 comes after frame9
    for path, pixels in zip(paths, FRAMES):
        Image.fromarray(pixels).save(path)
    (folder / "notes.txt").write_text("no picture")
    return paths


def _file(folder: Path) -> Path:
    return write_video(folder / "clip.mkv", FRAMES, codec="ffv1", pixel_format="bgra", time_base=Fraction(1, RATE))


def _url(folder: Path) -> FrameSource:
    _file(folder)
    with serving(folder) as host:
        return source_of(f"http://{host}/clip.mkv")


KINDS: dict[str, Callable[[Path], FrameSource]] = {
    "file": lambda folder: source_of(_file(folder)),
    "stretch of a file": lambda folder: Clip(_file(folder), start=0.0, end=100.0),
    "url": lambda folder: _url(folder),
    "sample": lambda folder: Sample("clip", FRAMES, RATE).source,
    "array": lambda folder: source_of(FRAMES, RATE),
    "tensor": lambda folder: source_of(torch.from_numpy(FRAMES), RATE),
    "list of arrays": lambda folder: source_of(list(FRAMES), RATE),
    "folder": lambda folder: source_of(_pictures(folder / "p")[0].parent, RATE),
    "list of pictures": lambda folder: source_of(_pictures(folder / "p"), RATE),
    "iterator": lambda folder: source_of(iter(FRAMES), RATE),
    "generator of tensors": lambda folder: source_of((torch.from_numpy(f) for f in FRAMES), RATE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(tmp_path: Path, kind: str) -> None:
    source = KINDS[kind](tmp_path)
    assert isinstance(source, FrameSource)
    assert (source.height, source.width, source.frame_rate) == (24, 32, RATE)
    assert source.frames_announced in (0, 12) and not source.is_image and source.warnings == []
    assert source.name and source.sample_aspect_ratio == 1 and source.sound is None and source.sound_shift == 0
    assert source.file is None or (kind == "file" and source.file == tmp_path / "clip.mkv")
    frames = list(source)
    assert [f.index for f in frames] == list(range(12))
    for index, frame in enumerate(frames):
        assert frame.time == pytest.approx(index / RATE, abs=1e-9)
        assert frame.time == pytest.approx(float(frame.pts * source.time_base), abs=1e-9)
        np.testing.assert_array_equal(frame.pixels, FRAMES[index])
    if source.reopens:
        again = source.reopened()
        half = iter(source)
        next(half)
        assert [f.pts for f in again] == [f.pts for f in frames]
        assert [f.pts for f in half] == [f.pts for f in frames][1:]
        assert [f.pixels.tobytes() for f in source] == [f.tobytes() for f in FRAMES], "a second reading is the first"
        for fact in ("name", "width", "height", "frame_rate", "time_base", "colour", "start", "end", "file", "sound"):
            assert getattr(again, fact) == getattr(source, fact), fact
    else:
        for twice in (source.reopened, lambda: next(iter(source))):
            with pytest.raises(ClipError, match="can be read once only"):
                twice()


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (np.zeros((4, 3, 8, 8), np.uint8), "give frames .height, width, 3."),
        (np.zeros((4, 8, 8, 3), np.float32), "float32"),
        (np.zeros((4, 8, 8), np.uint8), "has the shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "has the shape"),
        (np.zeros((4, 0, 8, 3), np.uint8), "give frames"),
        ([], "has the shape"),
        (iter([]), "holds no frame"),
        (iter([np.zeros((8, 8), np.uint8)]), "give frames"),
        (7, "int holds no frames"),
    ],
)
def test_what_holds_no_frames_is_refused(given_: Any, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        source_of(given_, RATE)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="holds no pictures"):
        source_of(tmp_path, RATE)


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    def coming() -> Iterator[np.ndarray]:
        yield np.zeros((8, 8, 3), np.uint8)
        yield np.zeros((8, 9, 3), np.uint8)

    with pytest.raises(ClipError, match="frame 1 has 9x8 pixels, those before it 8x8"):
        list(source_of(coming(), RATE))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_frame_rate_that_is_none_is_refused(rate: float) -> None:
    for make in (ArraySource, lambda frames, rate: OnceSource(iter(frames), rate)):
        with pytest.raises(SettingsError, match="frame rate"):
            make(FRAMES, rate)


def test_a_video_keeps_its_own_frame_rate(clip_path: Path) -> None:
    with pytest.raises(SettingsError, match="has a frame rate of its own"):
        source_of(clip_path, 25)


def test_an_assumed_frame_rate_is_said() -> None:
    assert source_of(FRAMES, None, 16).frame_rate == 16
    assert "no frame rate was given; 16 frames a second are assumed" in source_of(FRAMES, None, 16).warnings[0]
    assert "no frame rate was given; 1 frame a second is assumed" in source_of(FRAMES, None, 1).warnings[0]
    assert source_of(FRAMES).frame_rate == 25


@given(st.lists(st.integers(0, 10**6), min_size=2, unique=True))
def test_numbers_in_names_are_counted(numbers: list[int]) -> None:
    names = [f"frame{number}.png" for number in numbers]
    assert sorted(names, key=_natural) == [f"frame{number}.png" for number in sorted(numbers)]


def test_sources_are_sources(tmp_path: Path) -> None:
    for source in (ArraySource(FRAMES, RATE), PicturesSource(_pictures(tmp_path / "p"), RATE), Clip(_file(tmp_path))):
        assert source_of(source) is source
    with pytest.raises(VidcamError):
        source_of(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("rate", [0, -1, 0.009, 1e6, float("nan"), float("inf"), "25", None])
def test_frame_rates_that_are_none(rate: Any) -> None:
    with pytest.raises(SettingsError, match=r"is not valid; give frames per second, from 0\.01 to 1,000,000"):
        ArraySource(np.zeros((2, 4, 4, 3), np.uint8), rate)
    if rate is not None:
        with pytest.raises(SettingsError):
            source_of(np.zeros((2, 4, 4, 3), np.uint8), rate)


def test_slow_frame_rates_are_exact() -> None:
    times = [frame.time for frame in ArraySource(np.zeros((5, 4, 4, 3), np.uint8), 0.0125)]
    np.testing.assert_allclose(times, np.arange(5) * 80)
