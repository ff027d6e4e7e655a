from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import numbered, write_video
from vidcam.errors import ClipError
from vidcam.video.reader import Clip


def test_frames_come_in_order_with_their_pixels(clip_path: Path) -> None:
    frames = list(Clip(clip_path))
    assert [f.index for f in frames] == list(range(24))
    np.testing.assert_allclose([f.time for f in frames], np.arange(24) / 10)
    for frame in frames:
        assert frame.pixels.shape == (48, 64, 3) and frame.pixels.dtype == np.uint8
        expected = numbered(frame.index, 48, 64).astype(int)
        assert np.abs(frame.pixels[8:40, 8:24].astype(int) - expected[8:40, 8:24]).mean() < 4


def test_a_clip_can_be_read_again(clip_path: Path) -> None:
    clip = Clip(clip_path)
    assert [f.pts for f in clip] == [f.pts for f in clip]


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    pts = [0, 3, 4, 10, 11, 30, 31, 55]
    frames = [numbered(i, 32, 32) for i in range(len(pts))]
    path = write_video(tmp_path / "vfr.mkv", frames, pts=pts, time_base=Fraction(1, 1000))
    assert [round(f.time * 1000) for f in Clip(path)] == pts


def test_clips_of_several_codings_that_are_read_in_turns_have_the_pixels_of_each_alone(tmp_path: Path) -> None:
    """The conversion to RGB keeps what it prepared for the frame before, which was another clip's."""
    codings = [("yuv420p", 36), ("yuv420p", 720), ("yuv444p", 36), ("yuv420p10le", 36), ("gray", 36), ("bgra", 36)]
    picture = np.random.default_rng(0).integers(0, 256, (720, 32, 3), np.uint8)
    paths = [
        write_video(tmp_path / f"{name}-{height}.mkv", [picture[:height]] * 4, codec="ffv1", pixel_format=name)
        for name, height in codings
    ]
    for at_once in zip(*(Clip(path) for path in paths)):
        for frame, path, (_, height) in zip(at_once, paths, codings):
            with av.open(str(path)) as container:
                image = next(container.decode(video=0))
            matrix = 1 if height >= 720 else 5  # of BT.709, and of BT.601
            alone = image.to_ndarray(format="rgb24", src_colorspace=matrix if image.colorspace == 2 else None)
            np.testing.assert_array_equal(frame.pixels, alone)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size"),
    [
        ("gray.mkv", "ffv1", "gray", (33, 47)),
        ("ten.mkv", "ffv1", "yuv420p10le", (34, 46)),
        ("alpha.mkv", "ffv1", "bgra", (33, 47)),
        ("alpha.mov", "qtrle", "argb", (32, 48)),
        ("full.mkv", "ffv1", "yuv444p", (31, 45)),
        ("raw.avi", "rawvideo", "bgr24", (31, 45)),
        ("motion.avi", "mjpeg", "yuvj420p", (32, 48)),
        ("webm.webm", "libvpx-vp9", "yuv420p", (33, 47)),
    ],
)
def test_pixel_formats_and_odd_sizes(
    tmp_path: Path, name: str, codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    frames = [numbered(i, *size) for i in range(6)]
    read = list(Clip(write_video(tmp_path / name, frames, codec=codec, pixel_format=pixel_format)))
    assert len(read) == 6
    for frame in read:
        assert frame.pixels.shape == (*size, 3)
        assert np.abs(frame.pixels[8:24, 4:16].astype(int) - frames[frame.index][8:24, 4:16]).mean() < 6


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    # The container asks a player to turn the picture by this angle, counterclockwise.
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32] = 255
    clip = Clip(write_video(tmp_path / "turned.mp4", [image] * 3, rotation=rotation))
    upright = np.rot90(image, rotation // 90)
    frame = next(iter(clip))
    assert (clip.height, clip.width) == upright.shape[:2] == frame.pixels.shape[:2]
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 12


def test_real_rotations(real_clips: Path) -> None:
    assert next(iter(Clip(real_clips / "rotated_90.mov"))).pixels.shape == (568, 320, 3)
    assert next(iter(Clip(real_clips / "rotated_180.mov"))).pixels.shape == (320, 568, 3)


def test_packed_b_frames_get_rising_times(real_clips: Path) -> None:
    times = [f.time for f in Clip(real_clips / "eye_makeup.avi")]
    np.testing.assert_allclose(times, np.arange(164) / 25)


def test_sample_aspect_ratio(tmp_path: Path) -> None:
    frames = [numbered(i, 32, 32) for i in range(3)]
    path = write_video(tmp_path / "wide.mp4", frames, sample_aspect_ratio=Fraction(4, 3))
    assert Clip(path).sample_aspect_ratio == Fraction(4, 3)
    turned = write_video(tmp_path / "turned.mp4", frames, sample_aspect_ratio=Fraction(4, 3), rotation=90)
    assert Clip(turned).sample_aspect_ratio == Fraction(3, 4)


def test_no_frame_count_in_the_header(tmp_path: Path) -> None:
    clip = Clip(write_video(tmp_path / "raw.ts", [numbered(i, 32, 32) for i in range(9)], codec="mpeg2video"))
    assert clip.frames_announced == 0
    assert len(list(clip)) == 9 and clip.warnings == []


def test_a_clip_that_breaks_gives_the_frames_before_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(40)]
    whole = write_video(tmp_path / "whole.avi", frames, codec="mjpeg", pixel_format="yuvj420p").read_bytes()
    broken = tmp_path / "broken.avi"
    broken.write_bytes(whole[: len(whole) // 2])
    clip = Clip(broken)
    count = len(list(clip))
    assert 10 < count < 30
    assert len(clip.warnings) == 1 and f"{count} frames" in clip.warnings[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"dear reader\n" * 50, "is not a video that can be read"),
        ("text.txt", b"dear reader\n" * 50, "is a text file"),
        ("noise.avi", bytes(range(256)) * 40, "is not a video that can be read"),
    ],
)
def test_bad_files_get_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=message):
        Clip(tmp_path / name)


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="is a directory"):
        Clip(tmp_path)
    with pytest.raises(ClipError, match="does not exist"):
        Clip(tmp_path / "none.mp4")


def test_sound_without_pictures(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        tone.sample_rate = 8000
        container.mux(stream.encode(tone))
    with pytest.raises(ClipError, match=r"has no video stream \(streams found: audio\)"):
        Clip(tmp_path / "sound.wav")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libvpx-vp9"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video")]
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bounds=st.tuples(st.floats(0, 9), st.floats(0.1, 9)), open_ended=st.booleans())
def test_a_stretch_is_the_frames_of_its_time(
    tmp_path: Path, name: str, codec: str, bounds: tuple[float, float], open_ended: bool
) -> None:
    path = tmp_path / name
    if not path.exists():
        write_video(path, [numbered(i, 48, 64) for i in range(90)], codec=codec, options={"g": "12"})
    start, end = bounds[0], None if open_ended else sum(bounds)
    whole = [f for f in Clip(path) if f.time >= start and (end is None or f.time < end)]
    clip = Clip(path, start=start, end=end)
    if not whole:
        with pytest.raises(ClipError, match="has no frame from"):
            list(clip)
        return
    stretch = list(clip)
    assert [f.pts for f in stretch] == [f.pts for f in whole]
    assert [f.index for f in stretch] == list(range(len(whole)))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(stretch, whole))
    assert not clip.warnings
    assert [f.pts for f in clip.reopened()] == [f.pts for f in whole]


@pytest.mark.slow
def test_stretches_of_real_clips(real_clips: Path) -> None:
    for path in sorted(p for p in real_clips.iterdir() if p.suffix != ".md"):
        whole = list(Clip(path))
        middle = whole[len(whole) // 2].time
        stretch = list(Clip(path, start=middle))
        expected = [f for f in whole if f.time >= middle]
        assert [f.pts for f in stretch] == [f.pts for f in expected], path
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(stretch, expected)), path


def test_large_pictures_are_refused_before_they_are_decoded(clip_path: Path) -> None:
    assert len(list(Clip(clip_path, max_pixels=48 * 64))) == 24
    with pytest.raises(ClipError, match=r"pictures of 64x48 pixels, and at most 3071"):
        Clip(clip_path, max_pixels=48 * 64 - 1)


def test_pictures_that_grow_on_the_way_end_the_clip_there(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", [numbered(i, 48, 64) for i in range(12)], codec="mpeg2video")
    large = write_video(tmp_path / "b.ts", [numbered(i, 480, 640) for i in range(12)], codec="mpeg2video")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    assert len(list(Clip(both))) > 12
    clip = Clip(both, max_pixels=48 * 64)
    assert 0 < len(list(clip)) <= 12
    assert clip.warnings


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_lists_of_other_files_are_refused(tmp_path: Path, clip_path: Path, text: str) -> None:
    for name in ("list.m3u8", "list.mp4", "list.txt"):
        path = tmp_path / name
        path.write_text(text.format(clip_path))
        with pytest.raises(ClipError):
            Clip(path)


def test_a_name_that_looks_like_a_protocol_is_a_name(
    tmp_path: Path, clip_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "http:x.mp4", "a%03d.mp4", "-i.mp4"):
        shutil.copyfile(clip_path, name)
        assert len(list(Clip(name))) == 24


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ClipError, match="is a pipe or a device"):
        Clip(tmp_path / "pipe.mp4")


def test_a_clip_whose_frames_are_gone_when_it_is_read_is_refused(
    clip_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some damaged files give a frame when they are probed and none when they are read."""
    clip = Clip(clip_path)
    decoded = clip._decoded

    def nothing(near: int | None = None) -> Iterator[av.VideoFrame]:
        for _ in decoded(near):
            yield from ()

    monkeypatch.setattr(clip, "_decoded", nothing)
    with pytest.raises(ClipError, match=r"no frame of .*clip\.mp4 can be decoded \(h264: its stream holds no frame\)"):
        list(clip)
