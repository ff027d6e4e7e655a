from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import numbered, write_video
from vidcam.errors import OutputError
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter


def _written(path: Path, pts: list[int], time_base: Fraction, audio_from: Path | None = None) -> Path:
    with FilmWriter(path, (48, 64), time_base=time_base, frame_rate=Fraction(10), audio_from=audio_from) as film:
        for i, p in enumerate(pts):
            film.write(numbered(i, 48, 64), p)
    return path


@pytest.mark.parametrize("time_base", [Fraction(1, 25), Fraction(1, 1000), Fraction(1001, 30000), Fraction(1, 14336)])
def test_every_frame_keeps_its_time(tmp_path: Path, time_base: Fraction) -> None:
    pts = [3, 4, 9, 10, 27, 28]
    frames = list(Clip(_written(tmp_path / "film.mp4", pts, time_base)))
    np.testing.assert_allclose([f.time for f in frames], [float(p * time_base) for p in pts], atol=1e-4)
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - numbered(frame.index, 48, 64))[:, :28].mean() < 4


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    path = _written(tmp_path / "film.mp4", [0, 1, 2], Fraction(1, 10))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(
    ("name", "codec", "copied"), [("a.mp4", "aac", "aac"), ("a.avi", "pcm_s16le", "aac"), ("a.mkv", "mp3", "mp3")]
)
def test_sound_is_kept(tmp_path: Path, name: str, codec: str, copied: str) -> None:
    source = write_video(tmp_path / name, [numbered(i, 48, 64) for i in range(10)], audio=codec)
    assert Clip(source).has_audio
    film = _written(tmp_path / "film.mp4", list(range(10)), Fraction(1, 10), source)
    with av.open(str(film)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name.startswith(copied)
        frames = list(container.decode(stream))
        assert sum(f.samples for f in frames) >= 16000
        assert abs(frames[0].time) < 0.2


def test_an_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        FilmWriter(tmp_path / "none" / "film.mp4", (48, 64), time_base=Fraction(1, 10), frame_rate=Fraction(10))
