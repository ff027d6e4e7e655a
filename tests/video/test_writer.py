from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import numbered, write_video
from vidcam.errors import OutputError
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter, join_films


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


@pytest.mark.parametrize("hours", [0.9, 1.1, 72, 24 * 60])
def test_long_gaps_are_kept_in_times_and_shortened_in_films(tmp_path: Path, hours: float) -> None:
    pts = [0, 100, 200, 200 + round(hours * 3_600_000), 300 + round(hours * 3_600_000)]
    frames = [numbered(i, 32, 32) for i in range(5)]
    path = write_video(tmp_path / "gap.mkv", frames, pts=pts, time_base=Fraction(1, 1000), audio="aac")
    clip = Clip(path)
    assert [round(f.time * 1000) for f in clip] == pts
    assert any("there is no frame from 0.20 to" in w for w in clip.warnings) == (hours > 1)
    with FilmWriter(tmp_path / "film.mp4", (32, 32), time_base=clip.time_base, frame_rate=clip.frame_rate) as film:
        for frame in clip:
            film.write(frame.pixels, frame.pts)
    gap = hours * 3600 if hours < 1 else 10
    times = [f.time for f in Clip(tmp_path / "film.mp4")]
    assert times == pytest.approx([0, 0.1, 0.2, 0.2 + gap, 0.3 + gap], abs=1e-3)


@pytest.mark.parametrize(("rate", "expected"), [(192_000, 96_000), (50_000, 48_000), (8_000, 8_000), (6_000, 7_350)])
def test_sound_at_rates_that_aac_has_not_is_resampled(tmp_path: Path, rate: int, expected: int) -> None:
    source = tmp_path / "sound.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("ffv1", rate=10)
        video.height, video.width, video.pix_fmt = 32, 32, "bgra"
        sound = container.add_stream("pcm_s16le", rate=rate)
        sound.layout = "mono"
        samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)[None]
        tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        tone.sample_rate, tone.pts = rate, 0
        container.mux(sound.encode(tone))
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(numbered(index, 32, 32), format="rgb24").reformat(format="bgra")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    film = _written(tmp_path / "film.mp4", list(range(10)), Fraction(1, 10), audio_from=source)
    with av.open(str(film)) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        assert container.streams.audio[0].rate == expected
    assert len(heard) / expected == pytest.approx(1, abs=0.3)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * expected / len(heard) == pytest.approx(440, abs=5)


def _with_tone(path: Path, rate: int, seconds: float, codec: str = "pcm_u8", shift: float = 0) -> Path:
    """A clip of a second at ten frames a second, with a tone of so many seconds."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video" if path.suffix == ".ts" else "ffv1", rate=25)
        video.height, video.width = 32, 32
        video.pix_fmt = "yuv420p" if path.suffix == ".ts" else "bgra"
        sound = container.add_stream(codec, rate=rate)
        sound.layout = "mono"
        samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.int16)[None]
        tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        tone.sample_rate, tone.pts = rate, 0
        packets = list(sound.encode(tone)) + list(sound.encode(None))
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(numbered(index, 32, 32), format="rgb24").reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            units = round(shift / packet.time_base)
            packet.pts, packet.dts = packet.pts + units, packet.dts + units
            container.mux(packet)
    return path


@pytest.mark.slow
def test_sound_ends_with_the_film(tmp_path: Path) -> None:
    source = Clip(_with_tone(tmp_path / "long.mkv", 8000, 60))
    with FilmWriter(
        tmp_path / "film.mp4",
        (32, 32),
        time_base=source.time_base,
        frame_rate=source.frame_rate,
        audio_from=source.sound,
    ) as film:
        for frame in source:
            film.write(frame.pixels, frame.pts)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.streams.audio[0].duration * container.streams.audio[0].time_base < 3


def test_sound_that_cannot_be_heard_is_none(tmp_path: Path) -> None:
    assert Clip(_with_tone(tmp_path / "low.mkv", 10, 3)).sound is None
    assert Clip(_with_tone(tmp_path / "heard.mkv", 8000, 3)).sound == tmp_path / "heard.mkv"


def test_sound_stays_with_frames_whose_clock_wraps(tmp_path: Path) -> None:
    before = 0.52  # seconds until the clock of 33 bits begins anew
    clip = Clip(_with_tone(tmp_path / "wraps.ts", 16000, 1, "mp2", 2**33 / 90000 - before))
    assert clip.sound_shift == pytest.approx(before, abs=0.05)
    with FilmWriter(
        tmp_path / "film.mp4", (32, 32), time_base=clip.time_base, frame_rate=clip.frame_rate,
        audio_from=clip.sound, audio_shift=clip.sound_shift,
    ) as film:  # fmt: skip
        for frame in clip:
            film.write(frame.pixels, frame.pts)
    first = {}
    for kind in ("video", "audio"):
        with av.open(str(tmp_path / "film.mp4")) as container:
            first[kind] = float(next(container.decode(**{kind: 0})).time or 0)
    assert first["video"] == 0 and first["audio"] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("time_base", [Fraction(1, 10), Fraction(1001, 30000), Fraction(1, 14336)])
def test_joined_films_keep_frames_and_the_times_between_them(tmp_path: Path, time_base: Fraction) -> None:
    pts = [[0, 1, 4], [0, 3], [0, 1, 2, 9]]
    films = [_written(tmp_path / f"{n}.mp4", some, time_base) for n, some in enumerate(pts)]
    join_films(films, tmp_path / "film.mp4", 2 * time_base)
    frames, apart = list(Clip(tmp_path / "film.mp4")), [frame for film in films for frame in Clip(film)]
    expected = [0, 1, 4, 6, 9, 11, 12, 13, 20]
    np.testing.assert_allclose([f.time for f in frames], [float(p * time_base) for p in expected], atol=1e-4)
    for joined, alone in zip(frames, apart, strict=True):
        np.testing.assert_array_equal(joined.pixels, alone.pixels)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_joined_films_in_an_unwritable_place(tmp_path: Path) -> None:
    film = _written(tmp_path / "a.mp4", [0, 1], Fraction(1, 10))
    with pytest.raises(OutputError, match="cannot be written"):
        join_films([film], tmp_path / "none" / "film.mp4", Fraction(1, 10))
