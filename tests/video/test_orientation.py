from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.conftest import write_video
from vidcam.video.reader import Clip

CORNERS = np.zeros((40, 64, 3), np.uint8)
CORNERS[:20, :32], CORNERS[:20, 32:] = (220, 30, 30), (30, 220, 30)  # red, green
CORNERS[20:, :32], CORNERS[20:, 32:] = (30, 30, 220), (230, 230, 230)  # blue, white

EIGHT = [
    matrix
    for signs in itertools.product((1, -1), repeat=2)
    for matrix in ((signs[0], 0, 0, signs[1]), (0, signs[0], signs[1], 0))
]


def _with_matrix(folder: Path, a: float, b: float, c: float, d: float) -> Path:
    """A clip of two frames whose track header says how it is to be shown."""
    path = write_video(folder / "clip.mp4", [CORNERS] * 2, options={"crf": "1"})
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # version 0: the matrix stands behind 40 bytes of flags, times and volume
    assert struct.unpack_from(">9i", data, at) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, *(round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    path.write_bytes(data)
    return path


def _letters(pixels: np.ndarray) -> str:
    """The colours of the four corners, row by row."""
    names = {(220, 30, 30): "R", (30, 220, 30): "G", (30, 30, 220): "B", (230, 230, 230): "W"}
    found = []
    for y, x in ((4, 4), (4, -5), (-5, 4), (-5, -5)):
        nearest = min(names, key=lambda name: int(np.abs(np.array(name) - pixels[y, x].astype(int)).sum()))
        found.append(names[nearest])
    return "".join(found)


@pytest.mark.parametrize("matrix", EIGHT, ids=str)
def test_all_eight_orientations(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Each corner is where the definition of the matrix puts it, about the middle of the picture."""
    a, b, c, d = matrix
    clip = Clip(_with_matrix(tmp_path, a, b, c, d))
    (first, _) = clip
    expected = {}
    for letter, (x, y) in {"R": (-1, -1), "G": (1, -1), "B": (-1, 1), "W": (1, 1)}.items():
        expected[b * x + d * y, a * x + c * y] = letter
    assert _letters(first.pixels) == "".join(expected[place] for place in sorted(expected))
    assert (clip.height, clip.width) == first.pixels.shape[:2] == ((64, 40) if b else (40, 64))
    assert not clip.warnings


def test_a_turn_by_less_than_a_quarter_is_said(tmp_path: Path) -> None:
    clip = Clip(_with_matrix(tmp_path, 0.866, 0.5, -0.5, 0.866))
    assert _letters(next(iter(clip)).pixels) == "RGBW"
    list(clip)
    assert any("no turn by quarters" in warning for warning in clip.warnings)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pictures_are_turned_as_their_exif_says(tmp_path: Path, number: int, suffix: str) -> None:
    picture = Image.fromarray(CORNERS)
    exif = picture.getexif()
    exif[0x0112] = number
    picture.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    with Image.open(tmp_path / f"a.{suffix}") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    (frame,) = Clip(tmp_path / f"a.{suffix}")
    assert frame.pixels.shape == expected.shape
    assert _letters(frame.pixels) == _letters(expected)


def test_clips_of_front_cameras(shared_cases: Path) -> None:
    for name, corners in {"plain": "RGBW", "hflip": "GRWB", "vflip": "BWRG", "rot90_flip": "RBGW"}.items():
        assert _letters(next(iter(Clip(shared_cases / f"{name}.mp4"))).pixels) == corners, name
