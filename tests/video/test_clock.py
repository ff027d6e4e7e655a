"""Clocks, rates and ends of clips that other programs wrote, or that were cut and joined: right, or said."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import numbered, write_video
from vidcam.video.reader import Clip

FRAMES = [numbered(i, 48, 64) for i in range(64)]
CONTAINERS = {"mkv": "libx264", "webm": "libvpx", "ts": "mpeg2video", "mpg": "mpeg2video"}
RATE = 25


def _write(path: Path, codec: str, frames: Sequence[np.ndarray] = FRAMES) -> Path:
    """Frames at 25 a second, which all of these codecs can be at."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _times(clip: Clip) -> np.ndarray:
    return np.array([frame.time for frame in clip])


@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS.items())
def test_joined_files_are_carried_on(tmp_path: Path, suffix: str, codec: str) -> None:
    part = _write(tmp_path / f"part.{suffix}", codec).read_bytes()
    alone = len(list(Clip(tmp_path / f"part.{suffix}")))
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(part * 2)
    clip = Clip(joined)
    times = _times(clip)
    assert len(times) == 2 * alone
    np.testing.assert_allclose(np.diff(times), 1 / RATE, atol=2.1e-3)
    assert any("its clock starts anew 1 time" in warning for warning in clip.warnings)


@pytest.mark.parametrize(("suffix", "codec"), {"mp4": "libx264", "flv": "flv"}.items())
def test_what_is_joined_and_not_read_is_said(tmp_path: Path, suffix: str, codec: str) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (64, 96, 128, 3), np.uint8))
    part = _write(tmp_path / f"part.{suffix}", codec, noise)
    clip = Clip(part)
    assert len(_times(clip)) == 64 and clip.warnings == []
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(part.read_bytes() * 2)
    clip = Clip(joined)
    assert len(_times(clip)) == 128 or any("if another clip was joined to it" in w for w in clip.warnings)


@pytest.mark.parametrize(("suffix", "codec"), {"mkv": "libx264", "webm": "libvpx", "flv": "flv"}.items())
def test_what_is_missing_at_the_end_is_said(tmp_path: Path, suffix: str, codec: str) -> None:
    whole = _write(tmp_path / f"whole.{suffix}", codec)
    clip = Clip(whole)
    times = _times(clip)
    assert clip.warnings == []
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = Clip(half)
    left = _times(clip)
    (said,) = [w for w in clip.warnings if "s are missing that its header announces" in w]
    assert float(said.split(": ")[1].split(" s ")[0]) == pytest.approx(times[-1] - left[-1], abs=0.15)


def test_half_a_fragmented_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "whole.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": "16", "crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 255, (64, 48, 64, 3), np.uint8)
        for index, pixels in enumerate(noise):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = Clip(path)
    assert len(_times(clip)) == 64 and clip.warnings == []
    half = tmp_path / "half.mp4"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = Clip(half)
    assert len(_times(clip)) < 64 and clip.warnings


@pytest.mark.parametrize("before", [0.1, 1.0])
def test_a_clock_that_wraps_begins_at_zero(tmp_path: Path, before: float) -> None:
    """The clock of MPEG-TS has 33 bits; here it begins anew some seconds after the first frame."""
    path = tmp_path / "clip.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index, pixels in enumerate([*FRAMES, None]):
            frame = None
            if pixels is not None:
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, RATE)
            for packet in stream.encode(frame):
                shift = round((2**33 / 90000 - before) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                container.mux(packet)
    times = _times(Clip(path))
    assert len(times) == 64
    np.testing.assert_allclose(times, np.arange(64) / RATE, atol=1e-3)


def test_the_first_frame_of_a_file_without_times_is_at_zero(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", FRAMES[:20], codec="mpeg4", options={"bf": "2"})
    np.testing.assert_allclose(_times(Clip(path)), np.arange(20) / 10, atol=1e-6)


def test_a_rate_that_no_clip_has_is_measured(tmp_path: Path) -> None:
    """Recorders of browsers announce a thousand frames a second, or nothing."""
    pts = np.cumsum(np.random.default_rng(0).integers(20, 60, 60)).tolist()
    path = write_video(tmp_path / "clip.webm", FRAMES[:60], codec="libvpx", pts=pts, time_base=Fraction(1, 1000))
    clip = Clip(path)
    assert float(clip.frame_rate) == pytest.approx(59 / (pts[-1] - pts[0]) * 1000, rel=0.05)


def test_the_cases(shared_cases: Path) -> None:
    clip = Clip(shared_cases / "chrome_recorded.webm")
    assert float(clip.frame_rate) == pytest.approx(136 / 4.962, rel=1e-3) and len(_times(clip)) == 137
    for name in ("joined.ts", "clock_wraps.ts"):
        clip = Clip(shared_cases / name)
        times = _times(clip)
        assert times[0] >= 0 and len(times) == (160 if name == "joined.ts" else 80)
        np.testing.assert_allclose(np.diff(times), 1 / 16, atol=1e-4)
    clip = Clip(shared_cases / "half.mkv")
    assert len(_times(clip)) == 72 and "5.5 s are missing" in clip.warnings[0]
    clip = Clip(shared_cases / "lossless_cut.mp4")
    assert len(_times(clip)) == 58 and clip.warnings == []
