from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidcam
from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError
from vidcam.results.stored import load_explanation
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource, OnceSource

MAPS = np.ones((12, 2, 2))


def test_frames_are_read_again_from_the_source(clip_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    source = ArraySource(frames, 10)
    opened = explanation(MAPS, clip=Path("nowhere.mp4"), source=source).opened()
    assert opened is not source
    np.testing.assert_array_equal([f.pixels for f in opened], frames)
    once = explanation(MAPS, source=OnceSource(iter(frames), 10))
    with pytest.raises(ClipError, match="can be read once only"):
        once.opened()


def test_without_a_source_the_file_is_read_as_far_as_it_was_explained(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 16, 16) for i in range(30)])
    whole = explanation(MAPS, clip=path).opened()
    assert isinstance(whole, Clip) and len(list(whole)) == 30
    part = explanation(MAPS, clip=path, stretch=(1.0, 2.05)).opened()
    assert [round(f.time, 3) for f in part] == [round(t / 10, 3) for t in range(10, 21)]
    with pytest.raises(ClipError, match="does not exist"):
        explanation(MAPS, clip=tmp_path / "gone.mp4").opened()


@pytest.mark.parametrize(
    "pts",
    [
        range(50, 80),  # begins late
        [*range(12), *range(60, 78)],  # has a gap
        [*range(10), *range(10, 50, 2)],  # its rate varies
    ],
    ids=["late", "gap", "varying"],
)
def test_frames_before_a_stretch_are_counted_in_the_file(tmp_path: Path, pts: Sequence[int]) -> None:
    path = write_video(tmp_path / "clip.mkv", [numbered(i, 16, 16) for i in range(30)], pts=list(pts))
    for start in (float(pts[0]) / 10, float(pts[17]) / 10):
        part = [f.time for f in Clip(path, start=start)]
        found = explanation(np.ones((len(part), 2, 2)), clip=path, stretch=(start, None), times=np.array(part))
        assert found.first_frame() == 30 - len(part)
    assert explanation(np.ones((30, 2, 2)), clip=tmp_path / "gone.mkv").first_frame() == 0
    with pytest.raises(ClipError, match="does not exist"):
        explanation(MAPS, clip=tmp_path / "gone.mkv", stretch=(1.0, None)).first_frame()


def test_a_folder_of_pictures_gets_the_rate_of_its_times(tmp_path: Path) -> None:
    for index in range(12):
        Image.fromarray(numbered(index, 16, 16)).save(tmp_path / f"{index}.png")
    opened = explanation(MAPS, clip=tmp_path, times=np.arange(12) / 16).opened()
    assert opened.frame_rate == 16 and len(list(opened)) == 12


def test_the_frames_are_no_part_of_what_is_shown_or_stored() -> None:
    found = explanation(MAPS, source=OnceSource(iter([np.zeros((4, 4, 3), np.uint8)]), 10))
    assert "source" not in repr(found) and "source" not in found.summary() and "source" not in found.arrays()


def test_what_replaced_the_explained_frames_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 112, 112) for i in range(16)])
    vidcam.explain(path, "playground-r2plus1d").save(tmp_path / "out")
    frames = np.zeros((16, 112, 112, 3), np.uint8)
    of_array = vidcam.explain(frames, "playground-r2plus1d", frame_rate=16)
    assert len(list(load_explanation(tmp_path / "out").opened())) == len(list(of_array.opened())) == 16
    write_video(path, [numbered(15 - i, 112, 112) for i in range(16)])  # as long and as large
    frames[3] = 1
    for found in (load_explanation(tmp_path / "out"), of_array):
        with pytest.raises(ClipError, match="has changed since it was explained; explain it again"):
            found.opened()
