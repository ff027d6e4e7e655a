from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.export.conftest import localization
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.export.playback import Film, Stills, clip_of, explained_frames, play
from vidcam.results.explanation import Explanation
from vidcam.video.reader import Clip, Frame
from vidcam.video.source import OnceSource
from vidcam.video.stages import Stages

SIZE, PTS = (48, 64), [20, 21, 23, 26, 27, 30]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six frames from 2.0 to 3.0 s, at uneven times, with sound."""
    frames = [numbered(i, *SIZE) for i in range(6)]
    return write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgra", pts=PTS, audio="aac")


def _found(clip: Path, frames: int = 6, **changes: object) -> Explanation:
    return explanation(np.ones((frames, 2, 2)), clip=clip, size=SIZE, times=2.0 + np.arange(frames) / 10, **changes)


def _indices(path: Path) -> list[int]:
    """The frames of a film by their brightness, see `numbered`."""
    return [round((float(f.pixels[:, 4:28].mean()) - 20) / 8) for f in Clip(path)]


def test_one_decoding_feeds_films_and_pictures(clip: Path, tmp_path: Path, decoded: Callable[[], int]) -> None:
    stills = Stills([4, 1], lambda pixels: int(pixels[0, 0, 0]))
    seen: list[int] = []
    films = [
        Film(tmp_path / "a.mp4", SIZE, lambda pixels, frame: pixels),
        Film(tmp_path / "b.mp4", SIZE, lambda pixels, frame: numbered(5 - frame, *SIZE), begins=2.0, sound=False),
    ]
    play(_found(clip), Clip(clip), films, [stills, lambda frame: seen.append(frame.index)])
    assert decoded() == 6 and seen == list(range(6))
    assert stills.found == {1: 28, 4: 52}
    assert _indices(films[0].path) == list(range(6)) and _indices(films[1].path) == list(range(5, -1, -1))
    assert [f.time for f in Clip(films[0].path)] == pytest.approx([p / 10 for p in PTS], abs=1e-6)
    assert [f.time for f in Clip(films[1].path)] == pytest.approx([p / 10 - 2 for p in PTS], abs=1e-6)
    assert Clip(films[0].path).has_audio and not Clip(films[1].path).has_audio


def test_films_of_other_rates_keep_their_times(tmp_path: Path) -> None:
    pts = [0, 1001, 2002, 5005]
    frames = [numbered(i, *SIZE) for i in range(4)]
    path = write_video(tmp_path / "clip.mp4", frames, pts=pts, time_base=Fraction(1, 30000))
    play(_found(path, 4), Clip(path), [Film(tmp_path / "film.mp4", SIZE, lambda pixels, frame: pixels)])
    assert [f.time for f in Clip(tmp_path / "film.mp4")] == pytest.approx([p / 30000 for p in pts], abs=1e-6)


@pytest.mark.parametrize(
    ("frames", "size", "message"),
    [(7, SIZE, "6 of 7 frames match"), (5, SIZE, "it has more than 5 frames"), (6, (48, 62), "0 of 6 frames match")],
)
def test_exactly_the_explained_frames_come(clip: Path, frames: int, size: tuple[int, int], message: str) -> None:
    found = replace(_found(clip, frames), size=size)
    for result in [found] + ([localization(clip, frames, SIZE)] if size == SIZE else []):
        with pytest.raises(ClipError, match=f"has changed since it was explained: {message}; explain it again"):
            play(result, Clip(clip))
    assert [f.index for f in explained_frames(_found(clip), Clip(clip), Stages())] == list(range(6))


def test_a_single_frame_is_said_in_the_singular(clip: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mkv", [numbered(0, *SIZE)])
    for result, source, message in (
        (_found(clip, 1), clip, "more than 1 frame;"),
        (_found(path, 2), path, "1 of 2 frames matches;"),
    ):
        with pytest.raises(ClipError, match=message):
            play(result, Clip(source))


def test_an_error_in_any_stage_comes_out_and_ends_the_threads(clip: Path, tmp_path: Path) -> None:
    def draw(pixels: np.ndarray, frame: int) -> np.ndarray:
        if frame == 3:
            raise ValueError("cannot draw")
        return pixels

    def look(frame: Frame) -> None:
        raise ValueError("cannot look")

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="cannot draw"):
        play(_found(clip), Clip(clip), [Film(tmp_path / "film.mp4", SIZE, draw)])
    with pytest.raises(ValueError, match="cannot look"):
        play(_found(clip), Clip(clip), [], [look])
    good = Film(tmp_path / "film.mp4", SIZE, lambda pixels, frame: pixels)
    with pytest.raises(OutputError, match="cannot be written"):
        play(_found(clip), Clip(clip), [good, replace(good, path=tmp_path / "none" / "film.mp4")])
    assert set(threading.enumerate()) <= before


def test_explanations_of_one_clip_only(clip: Path) -> None:
    found = _found(clip)
    assert clip_of([found, replace(found, method="gradcam")]).name == str(clip)
    with pytest.raises(SettingsError, match="there is no explanation"):
        clip_of([])
    for other in (replace(found, clip="other.mp4"), _found(clip, 5), replace(found, stretch=(0.0, 3.0))):
        with pytest.raises(SettingsError, match="are of different clips"):
            clip_of([found, other])
    once = OnceSource((numbered(i, *SIZE) for i in range(6)), 10)
    with pytest.raises(ClipError, match="can be read once only"):
        clip_of([replace(found, source=once)])
