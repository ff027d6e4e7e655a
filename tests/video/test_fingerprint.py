from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_video
from vidcam.errors import ClipError
from vidcam.video.fingerprint import fingerprint_of
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource, OnceSource, PicturesSource

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 3), np.uint8)


def test_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", list(FRAMES))
    whole = fingerprint_of(Clip(path))
    assert len(whole) == 32 and whole == fingerprint_of(Clip(path)) == fingerprint_of(Clip(path, start=0.1))
    copy = tmp_path / "b.mp4"
    copy.write_bytes(path.read_bytes())
    assert fingerprint_of(Clip(copy)) == whole
    write_video(path, list(FRAMES[::-1]))
    assert fingerprint_of(Clip(path)) != whole


def test_both_ends_and_the_size_of_a_large_file_count(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", list(FRAMES))
    clip, content = Clip(path), path.read_bytes() + bytes(4 << 20)
    found = []
    for at in (None, 20, len(content) - 1):
        changed = bytearray(content)
        if at is not None:
            changed[at] ^= 1
        path.write_bytes(changed)
        found.append(fingerprint_of(clip))
    path.write_bytes(content + b"\0")
    assert len({*found, fingerprint_of(clip)}) == 4


def test_pictures(tmp_path: Path) -> None:
    for index, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    paths = sorted(tmp_path.iterdir())
    whole = fingerprint_of(PicturesSource(tmp_path, 25))
    assert whole == fingerprint_of(PicturesSource(paths, 25)) != fingerprint_of(PicturesSource(paths[::-1], 25))
    Image.fromarray(255 - FRAMES[3]).save(paths[3])
    assert fingerprint_of(PicturesSource(tmp_path, 25)) != whole


def test_an_array() -> None:
    frames = FRAMES.copy()
    source = ArraySource(frames, 25)
    whole = fingerprint_of(source)
    assert whole == fingerprint_of(ArraySource(FRAMES, 16)) == fingerprint_of(source.reopened())
    assert whole != fingerprint_of(ArraySource(FRAMES.reshape(6, 48, 32, 3), 25))
    frames[5, 31, 47, 2] ^= 1
    assert fingerprint_of(source) != whole


def test_other_sources_have_none() -> None:
    assert fingerprint_of(OnceSource(iter(FRAMES), 25)) == ""


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    clip = Clip(write_video(tmp_path / "a.mp4", list(FRAMES)))
    clip.path.unlink()
    with pytest.raises(ClipError, match=r"a\.mp4 cannot be read \(No such file"):
        fingerprint_of(clip)
