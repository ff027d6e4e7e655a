"""Clips and pictures in formats that need care: each is read rightly, or its error names the format and a way out."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, write_video
from vidcam.errors import ClipError
from vidcam.video.reader import Clip
from vidcam.video.source import PicturesSource

# A grey AVIF of 128x64 pixels in two tiles, by avifenc --grid 2x1.
TILES = (
    "c-n1HO-lnY5S=88tWrg+UaDXZ9t1D0cn~k9)T{miLE?VYfutMOWvQpGpeO%=_a1xn5BRsF&Zb!?#ev7m%*(t?1_1h5`D#^#8BjEA"
    "FpCVT>~0VZ0NB)|rGjOgJ}0{HXRsKTuo4=dTALk<rEx_@xJI4FO>zq$T!p}9#368>&4~|5UCjU<5Xa8YDLqP3?p;R(Cc|9kZk$$O"
    "ji0K{qkj~!rW|3BW`6YD1kK2GbNA9G+QJe)qK$LneSER0zgrVz(_?XhZnQ8AiMnyFi*c+c<g*PM^;(<s=%^|hzV%)01g&XTON$YV"
    "3*bS(KLm&+0i2mcmF~+m$UWHFygHcvz6X~*dC@tRH;cs&e0T4^<RAVpOaT"
)
# A grey JPEG XL of 16x16 pixels, by cjxl.
JPEG_XL = "ff0a43060012880200c4005de5120000152aa38c1bbc9cebf9f24387c5b48deb0c6db56d6149a2c8383649277048128b34800864e6020030b4504902"


def test_an_animated_webp_is_read_with_its_times_or_named(tmp_path: Path) -> None:
    frames = [Image.fromarray(numbered(index, 32, 48)) for index in range(4)]
    path = tmp_path / "clip.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300, 400], lossless=True)
    if int(av.__version__.split(".")[0]) < 19:
        with pytest.raises(
            ClipError, match=r"is an animated WebP, which PyAV .* cannot decode; install PyAV 19 or later"
        ):
            Clip(path)
        return
    read = list(Clip(path))
    assert [frame.time for frame in read] == pytest.approx([0, 0.1, 0.3, 0.6])
    for frame in read:
        np.testing.assert_array_equal(frame.pixels, numbered(frame.index, 32, 48))


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_a_still_picture_is_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"still.{suffix}"
    Image.fromarray(numbered(3, 32, 48)).save(path, quality=95)
    clip = Clip(path)
    (frame,) = clip
    assert clip.is_image and not clip.warnings
    assert np.abs(frame.pixels.astype(int) - numbered(3, 32, 48)).mean() < 4
    assert len(list(PicturesSource([path, path], 10))) == 2


def test_an_animated_avif_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(numbered(index, 32, 48)) for index in range(4)]
    path = tmp_path / "clip.avif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=200)
    clip = Clip(path)
    read = list(clip)
    assert not clip.is_image and [frame.time for frame in read] == pytest.approx([0, 0.2, 0.4, 0.6])
    for frame in read:
        assert np.abs(frame.pixels.astype(int) - numbered(frame.index, 32, 48)).mean() < 4


def test_a_picture_in_tiles_is_refused(tmp_path: Path) -> None:
    """One of its tiles would pass for the picture: photos of phones (HEIC) are stored so."""
    path = tmp_path / "tiles.avif"
    path.write_bytes(zlib.decompress(base64.b85decode("".join(TILES))))
    with Image.open(path) as picture:
        assert picture.size == (128, 64)
    with pytest.raises(ClipError, match="is a picture in 2 tiles, which cannot be read; convert it to PNG or JPEG"):
        Clip(path)


def test_a_format_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "still.jxl"
    path.write_bytes(bytes.fromhex(JPEG_XL))
    with pytest.raises(ClipError, match=r"has a format without a decoder \(jpegxl_pipe\); convert a clip to MP4"):
        Clip(path)


def test_frames_of_an_avi_that_are_shown_longer_are_not_missing(tmp_path: Path) -> None:
    """Its header counts an entry without bytes for each frame time at which the picture stays."""
    frames = [numbered(index, 32, 48) for index in range(12)]
    pts = [0, 2, *range(3, 11), 14, 15]
    clip = Clip(write_video(tmp_path / "held.avi", frames, codec="mjpeg", pixel_format="yuvj420p", pts=pts))
    assert clip.frames_announced == 16
    assert [round(frame.time * 10) for frame in clip] == pts
    assert clip.warnings == []


def test_sound_behind_the_last_frame_is_no_other_clip(tmp_path: Path) -> None:
    """DVDs store sound without compression, up to a second behind the frames of its time."""
    path = tmp_path / "sound.vob"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.height, video.width, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("pcm_dvd", rate=48000, layout="stereo")
        packets = []
        for index in range(50):
            picture = av.VideoFrame.from_ndarray(numbered(index, 32, 32), format="rgb24").reformat(format="yuv420p")
            picture.pts = index
            packets += video.encode(picture)
        packets += video.encode(None)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 192000), np.int16), format="s16", layout="stereo")
        tone.sample_rate, tone.pts = 48000, 0
        for packet in [*packets, *sound.encode(tone), *sound.encode(None)]:
            container.mux_one(packet)
    clip = Clip(path)
    assert len(list(clip)) == 50 and clip.warnings == []


def test_bytes_behind_all_packets_are_said(clip_path: Path) -> None:
    clip_path.write_bytes(clip_path.read_bytes() + bytes(200_000))
    clip = Clip(clip_path)
    assert len(list(clip)) == 24
    (warning,) = clip.warnings
    assert (
        "of its bytes lie behind its last frame and are not read; it is damaged, or another clip was joined to it"
        in warning
    )
