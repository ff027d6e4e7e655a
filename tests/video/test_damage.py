from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, write_video
from vidcam.video.damage import bytes_unread, clips_begun, end_is_missing
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource, PicturesSource

MATROSKA, MP4 = "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"
COUNT, SIZE = 20, (48, 64)


def _clip(folder: Path, name: str, size: tuple[int, int] = SIZE, **settings: str) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, *size, 3), np.uint8)  # all frames have as many bytes
    return write_video(folder / name, list(noise), **settings)  # type: ignore[arg-type]


def _read(path: Path) -> tuple[list[float], list[str]]:
    clip: FrameSource = Clip(path)
    times = [frame.time for frame in clip]
    return times, [warning.removeprefix(f"{path.name}: ") for warning in clip.warnings]


def test_beginnings_are_counted(tmp_path: Path) -> None:
    for name, container, codec in (("a.mkv", MATROSKA, "libx264"), ("a.webm", MATROSKA, "libvpx"),
                                   ("a.flv", "flv", "flv1"), ("a.mp4", MP4, "libx264")):  # fmt: skip
        content = _clip(tmp_path, name, codec=codec).read_bytes()
        several = tmp_path / f"several_{name}"
        several.write_bytes(content * 3)
        assert clips_begun(several, container) == 3
        assert clips_begun(several, container, 1) == 2 and clips_begun(several, container, len(content)) == 2
        assert clips_begun(several, container, 2 * len(content) + 1) == 0
        assert clips_begun(several, "avi") == 0


def test_beginnings_across_the_pieces_that_are_read(tmp_path: Path) -> None:
    beginning = b"FLV\x01\x05\x00\x00\x00\x09"
    for before in [*range((1 << 20) - 100, (1 << 20) + 12), (2 << 20) - 5]:
        (tmp_path / "a").write_bytes(bytes(before) + beginning + bytes(200))
        assert clips_begun(tmp_path / "a", "flv") == 1, before


@pytest.mark.parametrize(("packet", "prefix"), [(188, 0), (192, 4), (204, 0)])
def test_a_transport_stream_ends_with_a_packet(tmp_path: Path, packet: int, prefix: int) -> None:
    whole = (bytes(prefix) + b"G" + bytes(packet - prefix - 1)) * 5
    for size in (len(whole), len(whole) - 1, len(whole) - packet + 1, len(whole) - packet):
        (tmp_path / "a").write_bytes(whole[:size])
        assert end_is_missing(tmp_path / "a", "mpegts") == (size % packet != 0)
    (tmp_path / "a").write_bytes(b"nothing")
    assert not end_is_missing(tmp_path / "a", "mpegts") and not end_is_missing(tmp_path / "a", "avi")


def test_an_ogg_stream_ends_with_its_last_page(tmp_path: Path) -> None:
    pages = [b"OggS\0" + bytes([flags]) + bytes(20) + b"\x01\xff" + bytes(255) for flags in [2, *[0] * 900, 4]]
    whole = b"".join(pages)
    (tmp_path / "whole.ogv").write_bytes(whole)
    assert not end_is_missing(tmp_path / "whole.ogv", "ogg") and len(whole) > 200_000
    for size in (len(whole) // 2, whole.rindex(b"OggS"), whole.rindex(b"OggS") + 5, 3):
        (tmp_path / "cut.ogv").write_bytes(whole[:size])
        assert end_is_missing(tmp_path / "cut.ogv", "ogg")


def test_pictures_without_their_end(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name, settings in (("a.jpg", {}), ("b.jpg", {"progressive": True}), ("c.gif", {})):
        Image.fromarray(noise).save(tmp_path / name, **settings)
        whole = (tmp_path / name).read_bytes()
        assert _read(tmp_path / name)[1] == []
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
        assert _read(tmp_path / name)[1] == ["its end is missing; the file is cut off"]
    exif = b"\xff\xd8\xff\xe1\x00\x08\xff\xd8\xff\xd9\x00\x00"  # a header with a whole picture in it
    (tmp_path / "a.jpg").write_bytes(exif + b"\xff\xda" + bytes(50))
    assert end_is_missing(tmp_path / "a.jpg", "jpeg_pipe")
    (tmp_path / "a.jpg").write_bytes(exif + b"\xff\xda" + bytes(50) + b"\xff\xd9 and more")
    assert not end_is_missing(tmp_path / "a.jpg", "jpeg_pipe")


def test_a_cut_picture_of_a_folder_is_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for index in range(3):
        Image.fromarray(noise).save(tmp_path / f"{index}.jpg")
    (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:2000])
    source = PicturesSource(tmp_path, 25)
    for _ in range(2):
        assert len(list(source)) == 3 and source.warnings == ["1.jpg: its end is missing; the file is cut off"]


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2 + 1]


def _holed(content: bytes) -> bytes:
    return content[: len(content) * 2 // 5] + bytes(len(content) // 10) + content[len(content) // 2 :]


def _twice(content: bytes) -> bytes:
    return 2 * content


def _thrice(content: bytes) -> bytes:
    return 3 * content


@pytest.mark.slow
def test_the_last_picture_of_a_stream_that_is_cut_off(tmp_path: Path) -> None:
    # on several threads the decoder forgets that a large picture without one behind it is damaged
    noise = np.random.default_rng(0).integers(0, 24, (12, 1088, 1920), np.uint8)
    slope = np.add.outer(np.arange(1088), np.arange(1920))
    grey = np.stack([(slope + 9 * index) % 256 // 2 for index in range(12)]).astype(np.uint8) + noise
    frames = [np.repeat(picture[..., None], 3, axis=2) for picture in grey]
    whole = write_video(tmp_path / "a.h264", frames, codec="libx264", pixel_format="yuv420p").read_bytes()
    cut = tmp_path / "cut.h264"
    cut.write_bytes(_half(whole))
    for _ in range(3):
        assert _read(cut)[1] == ["1 picture could be decoded in part only, the first at 0.50 s"]


@pytest.mark.parametrize(
    ("name", "codec", "damage", "frames", "said"),
    [
        ("a.mkv", "libx264", _half, range(3, 15), "s are missing that its header announces"),
        ("a.webm", "libvpx", _half, range(3, 15), "s are missing that its header announces"),
        ("a.flv", "flv1", _half, range(3, 15), "s are missing that its header announces"),
        ("a.ts", "mpeg2video", _half, range(5, 15), "its end is missing; the file is cut off"),
        ("a.avi", "mjpeg", _half, range(3, 15), "could be decoded of the 20 its header announces"),
        ("a.h264", "libx264", _half, range(5, 15), "could be decoded in part only, the first at"),
        ("a.mkv", "libx264", _holed, range(5, 20), "s are missing that its header announces"),
        ("a.mp4", "libx264", _twice, [20], "1 clip of those joined in it cannot be read; give each clip as a file"),
        ("a.flv", "flv1", _thrice, [20], "2 clips of those joined in it cannot be read"),
        ("a.mkv", "libx264", _twice, [40], "its clock starts anew 1 time"),
        ("a.mkv", "libx264", _thrice, [40], "1 clip of those joined in it cannot be read"),
        ("a.webm", "libvpx", _twice, [40], "its clock starts anew 1 time"),
        ("a.ts", "mpeg2video", _twice, [40], "its clock starts anew 1 time"),
        ("a.ts", "mpeg2video", _thrice, [60], "its clock starts anew 2 times"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:20],
)
def test_damaged_and_joined_clips_say_so(
    tmp_path: Path, name: str, codec: str, damage: Callable[[bytes], bytes], frames: range, said: str
) -> None:
    whole = _clip(tmp_path, name, codec=codec, pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p")
    times, warnings = _read(whole)
    assert len(times) == COUNT and not warnings
    damaged = tmp_path / f"damaged{whole.suffix}"
    damaged.write_bytes(damage(whole.read_bytes()))
    found, warnings = _read(damaged)
    assert len(found) in frames and any(said in warning for warning in warnings), warnings
    assert found == sorted(found)
    if len(found) > COUNT:  # carried on, a step apart
        np.testing.assert_allclose(np.diff(found), 0.1, atol=0.0021)


@pytest.mark.slow
def test_a_size_that_changes_is_said(tmp_path: Path) -> None:
    for suffix, codec in (("ts", "mpeg2video"), ("webm", "libvpx")):
        small, large = (
            _clip(tmp_path, f"a.{suffix}", codec=codec),
            _clip(tmp_path, f"b.{suffix}", (96, 80), codec=codec),
        )
        both = tmp_path / f"both.{suffix}"
        both.write_bytes(small.read_bytes() + large.read_bytes())
        times, warnings = _read(both)
        (note,) = [warning for warning in warnings if "size" in warning]
        found = re.fullmatch(
            r"the size of its pictures changes to 80x96 at (.*) s; all are shown at the size of the first, 64x48", note
        )
        assert found and float(found[1]) == pytest.approx(times[COUNT], abs=0.11) and len(times) >= 2 * COUNT - 1
        assert all(frame.pixels.shape == (*SIZE, 3) for frame in Clip(both))


def test_a_joined_clip_that_is_decoded_by_the_first_ones_header_is_said(tmp_path: Path) -> None:
    """Matroska keeps the header of H.264 apart, and FFmpeg reads that of the first clip alone."""
    both = tmp_path / "both.mkv"
    both.write_bytes(_clip(tmp_path, "a.mkv").read_bytes() + _clip(tmp_path, "b.mkv", (96, 80)).read_bytes())
    times, warnings = _read(both)
    assert len(times) > COUNT
    assert any("pictures could be decoded in part only, the first at 2.0" in warning for warning in warnings)


def _with_ffmpeg(folder: Path, name: str, *arguments: str) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg command is here to make the clip")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, folder / name], check=True, cwd=folder)
    return folder / name


STILL = ("-f", "lavfi", "-i", "color=gray:s=64x48:r=60:d=120")
MOVING = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=3")


@pytest.mark.parametrize(("start", "end"), [(None, None), (1.6, 3.0), (3.2, 5.0), (2.5, 4.5), (None, 2.0), (3.0, None)])
@pytest.mark.parametrize(("suffix", "codec"), [("ts", "mpeg2video"), ("mkv", "libx264"), ("webm", "libvpx")])
def test_a_stretch_of_joined_clips_is_that_of_a_whole_reading(
    tmp_path: Path, suffix: str, codec: str, start: float | None, end: float | None
) -> None:
    both = tmp_path / f"both.{suffix}"
    both.write_bytes(_clip(tmp_path, f"a.{suffix}", codec=codec).read_bytes() * 2)
    whole = [f for f in Clip(both) if (start or 0) <= f.time < (end or 99)]
    stretch = list(Clip(both, start=start, end=end))
    assert len(whole) > 5 and [f.time for f in stretch] == [f.time for f in whole]
    for found, expected in zip(stretch, whole):
        np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_joined_clips_that_are_short(tmp_path: Path) -> None:
    frames = [numbered(i, *SIZE) for i in range(40)]
    one = write_video(tmp_path / "a.ts", frames[:12], codec="mpeg2video", pts=[*range(12)], time_base=Fraction(1, 30))
    (tmp_path / "j.ts").write_bytes(one.read_bytes() * 4)
    times, warnings = _read(tmp_path / "j.ts")
    assert len(times) == 48 and any("its clock starts anew 3 times" in warning for warning in warnings)
    assert (np.diff(times) > 0.03).all() and times[-1] - times[0] < 5


@pytest.mark.parametrize(("rate", "options"), [(5, {}), (1, {"bf": "3"})])
def test_b_frames_in_avi_are_no_new_clock(tmp_path: Path, rate: int, options: dict[str, str]) -> None:
    path = write_video(
        tmp_path / "a.avi", [numbered(i, *SIZE) for i in range(60)], time_base=Fraction(1, rate), options=options
    )
    frames = list(Clip(path))
    np.testing.assert_allclose([f.time for f in frames], np.arange(60) / float(Clip(path).frame_rate))
    assert [round((f.pixels[:, :20].mean() - 20) / 8) for f in frames] == [i % 28 for i in range(60)]
    assert _read(path)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("sound", [(), ("-f", "lavfi", "-i", "anullsrc=r=48000:d=120", "-c:a", "aac")])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "avi"])
def test_a_large_index_is_no_other_clip(tmp_path: Path, suffix: str, sound: tuple[str, ...]) -> None:
    path = _with_ffmpeg(tmp_path, f"slides.{suffix}", *STILL, *sound, "-c:v", "libx264", "-preset", "ultrafast")
    assert _read(path)[1] == []
    path.write_bytes(path.read_bytes() + bytes(range(256)) * 400)
    assert "of its bytes lie behind its last frame" in _read(path)[1][0]


def test_bytes_that_belong_to_no_part(tmp_path: Path) -> None:
    box = (16).to_bytes(4, "big") + b"free" + bytes(8)
    long = (1).to_bytes(4, "big") + b"mdat" + (24).to_bytes(8, "big") + bytes(8)
    chunk = b"RIFF" + (5).to_bytes(4, "little") + bytes(6)
    for content, container, unread in (
        (box * 3, MP4, 0), (box + long + box, MP4, 0), (box + long + bytes(50), MP4, 50), (box + box[:9], MP4, 0),
        (box + bytes(4) + b"mdat" + bytes(90), MP4, 0), (box + b"\x00\x00", MP4, 2),
        (chunk * 2, "avi", 0), (chunk + b"what is this?", "avi", 13), (chunk[:9], "avi", 0),
    ):  # fmt: skip
        (tmp_path / "a").write_bytes(content)
        assert bytes_unread(tmp_path / "a", container) == unread, content


def test_a_late_fragment_misses_nothing(tmp_path: Path) -> None:
    fragments = ("-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-f", "dash", "-seg_duration", "1")
    _with_ffmpeg(tmp_path, "o.mpd", *MOVING, "-c:v", "libx264", *fragments, "-use_timeline", "0")
    late = tmp_path / "late.mp4"
    late.write_bytes((tmp_path / "init-stream0.m4s").read_bytes() + (tmp_path / "chunk-stream0-00003.m4s").read_bytes())
    times, warnings = _read(late)
    np.testing.assert_allclose(times, 2 + np.arange(30) / 30, atol=1e-4)
    assert warnings == []


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "codec",
    [("libx264", "-x264-params", "open-gop=1"), ("libx265", "-x265-params", "open-gop=1:bframes=8:log-level=0")],
)
def test_cuts_before_an_open_group_of_pictures_miss_nothing(
    tmp_path: Path, suffix: str, codec: tuple[str, ...]
) -> None:
    whole = _with_ffmpeg(tmp_path, "whole.mkv", *MOVING, "-c:v", *codec, "-g", "20")
    cut = _with_ffmpeg(tmp_path, f"cut.{suffix}", "-ss", "1.1", "-i", str(whole), "-c", "copy")
    times, warnings = _read(cut)
    assert len(times) >= 56 and warnings == []


def test_pictures_that_theora_repeats(tmp_path: Path) -> None:
    path = _with_ffmpeg(tmp_path, "a.ogv", *MOVING, "-vf", "fps=16,fps=30", "-c:v", "libtheora", "-q:v", "5")
    times, warnings = _read(path)
    assert len(times) >= 35 and times[-1] == pytest.approx(2.93, abs=0.1) and warnings == []


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_raw_streams_have_the_rate_of_their_pictures(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"crf": "10"}
    frames = [numbered(i, 64, 64) for i in range(20)]
    path = write_video(tmp_path / f"a.{codec[-3:].replace('x2', 'h2')}", frames, codec=codec, options=options)
    raw = path.rename(path.with_suffix(".h264" if codec == "libx264" else ".hevc"))
    clip = Clip(raw)
    found = list(clip)
    assert (clip.frame_rate, clip.frame_rate_from) == (10, "header") and clip.warnings == []
    assert [frame.time for frame in found] == [index / 10 for index in range(20)]
    assert [round((frame.pixels[:, :20].mean() - 20) / 8) for frame in found] == list(range(20))
    stretch = list(Clip(raw, start=0.5, end=1.0))
    assert [frame.time for frame in stretch] == [0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_rate_that_nothing_says_is_said(tmp_path: Path) -> None:
    clip = Clip(_clip(tmp_path, "a.mjpeg", codec="mjpeg", pixel_format="yuvj420p"))
    assert len(list(clip)) == COUNT and clip.frame_rate_from == "assumed"
    assert clip.warnings == ["a.mjpeg: its frame rate is not known; 25 a second are assumed"]


def test_the_rows_that_were_read_wrongly(shared_cases: Path) -> None:
    times, warnings = _read(shared_cases / "half.mkv")
    assert times[-1] == pytest.approx(4.4, abs=0.1) and "5.5 s are missing" in " ".join(warnings)
    times, warnings = _read(shared_cases / "lossless_cut.mp4")
    assert len(times) == 58 and warnings == []
    times, warnings = _read(shared_cases / "clock_wraps.ts")
    assert len(times) == 80 and times[0] >= 0
    np.testing.assert_allclose(np.diff(times), 1 / 16, atol=0.001)
    times, warnings = _read(shared_cases / "joined.ts")
    assert len(times) == 160 and any("its clock starts anew 1 time" in warning for warning in warnings)
    np.testing.assert_allclose(np.diff(times), 1 / 16, atol=0.001)
    times, _ = _read(shared_cases / "chrome_recorded.webm")
    assert len(times) == 137 and times[-1] - times[0] == pytest.approx(4.96, abs=0.05)
