from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from vidcam.video.kept import KeptClip, kept
from vidcam.video.reader import Clip


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened for decoding or probing."""
    opened: list[str] = []
    plain = av.open
    monkeypatch.setattr(av, "open", lambda *given, **named: opened.append(str(given[0])) or plain(*given, **named))
    return opened


def _pixels(clip: Clip) -> list[np.ndarray]:
    return [frame.pixels for frame in clip]


def test_the_second_reading_has_the_same_frames_and_opens_no_file(clip_path: Path, openings: list[str]) -> None:
    clip = KeptClip(clip_path)
    first = [(f.index, f.time, f.pts, f.pixels) for f in clip]
    openings.clear()
    again = clip.reopened()
    second = [(f.index, f.time, f.pts, f.pixels) for f in again]
    assert not openings and len(second) == 24
    for mine, other in zip(first, second):
        assert mine[:3] == other[:3] and np.array_equal(mine[3], other[3])
    assert again.name == clip.name and again.warnings == clip.warnings


def test_frames_are_given_once_and_decoded_after_that(clip_path: Path, openings: list[str]) -> None:
    clip = KeptClip(clip_path)
    list(clip)
    again, third = clip.reopened(), clip.reopened()
    assert not isinstance(third, KeptClip)
    assert len(list(islice(again, 3))) == 3
    openings.clear()
    for other in (again, third, clip):
        assert len(_pixels(other)) == 24
    assert len(openings) >= 3


def test_nothing_is_kept_of_a_clip_with_more_bytes_or_of_a_part_of_a_reading(clip_path: Path) -> None:
    of_a_frame = next(iter(Clip(clip_path))).bytes
    assert of_a_frame >= 48 * 64 * 3 // 2
    for most, keeps in ((24 * of_a_frame, True), (24 * of_a_frame - 1, False)):
        clip = KeptClip(clip_path, most=most)
        list(clip)
        assert isinstance(clip.reopened(), KeptClip) == keeps
    clip = KeptClip(clip_path)
    list(islice(clip, 5))
    assert not isinstance(clip.reopened(), KeptClip)


def test_rgb_pictures_of_the_first_reading_are_not_kept(clip_path: Path) -> None:
    clip = KeptClip(clip_path)
    _pixels(clip)
    assert clip._kept is not None and not any("pixels" in vars(frame) for frame in clip._kept)


def test_files_alone_are_kept(clip_path: Path) -> None:
    assert isinstance(kept(str(clip_path)), KeptClip)
    assert kept(str(clip_path.parent)) == str(clip_path.parent)
    assert kept("https://example.org/clip.mp4") == "https://example.org/clip.mp4"
