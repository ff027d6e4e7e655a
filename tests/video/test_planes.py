from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, ColorTrc

from tests.conftest import plane_values, write_video
from vidcam.video.colour import BT709, Colour
from vidcam.video.planes import copied, from_rgb, in_film_format, matrix_of, planes_of
from vidcam.video.reader import Clip
from vidcam.video.writer import film_frame

BT601 = Colour(6, 6, 6)
SIZE = (48, 64)


def _soft(seed: int = 0) -> np.ndarray:
    """A picture without sharp edges, (48, 64, 3) uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("colour", [BT709, BT601])
def test_the_matrix_is_that_of_the_standard(colour: Colour) -> None:
    corners = np.array([[0, 0, 0, 1], [255, 255, 255, 1], [0, 0, 255, 1], [255, 0, 0, 1]]) @ matrix_of(colour).T
    assert corners[0] == pytest.approx([16, 128, 128]) and corners[1] == pytest.approx([235, 128, 128])
    assert corners[2, 1] == pytest.approx(240) and corners[3, 2] == pytest.approx(240)
    green = {BT709: 0.7152, BT601: 0.587}[colour]
    assert (matrix_of(colour) @ [0, 255, 0, 1])[0] == pytest.approx(16 + 219 * green)


@pytest.mark.parametrize("colour", [BT709, BT601])
def test_a_picture_becomes_the_planes_that_ffmpeg_makes(colour: Colour) -> None:
    for ours, theirs in zip(from_rgb(_soft(), colour), planes_of(film_frame(_soft(), colour))):
        difference = np.abs(ours.astype(int) - theirs)
        assert ours.shape == theirs.shape and difference.max() <= 3 and difference.mean() < 0.6


def _coded(pixel_format: str, *, full: bool = False, matrix: int = Colorspace.ITU709) -> av.VideoFrame:
    image = av.VideoFrame.from_ndarray(_soft(), format="rgb24")
    coded = image.reformat(
        format=pixel_format,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
    )
    coded.colorspace, coded.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
    return coded


def _values(image: av.VideoFrame) -> list[np.ndarray]:
    """The planes of a planar frame in values of 8 bits and limited range, U and V averaged to half the size, float64."""
    luma, *chroma = plane_values(image, full=image.color_range == ColorRange.JPEG)
    height, width = SIZE[0] // 2, SIZE[1] // 2
    return [luma, *(v.reshape(height, v.shape[0] // height, width, -1).mean((1, 3)) for v in chroma)]


@pytest.mark.parametrize("pixel_format", [f"yuv{s}p{depth}" for s in (420, 422, 444) for depth in ("", "10le")])
@pytest.mark.parametrize("full", [False, True])
def test_planar_formats_of_8_and_10_bits_keep_their_values(pixel_format: str, full: bool) -> None:
    image = _coded(pixel_format, full=full)
    film = in_film_format(image, BT709)
    assert film is not None and film.format.name == "yuv420p"
    assert (film is image) == (pixel_format == "yuv420p" and not full)
    for found, expected in zip(planes_of(film), _values(image)):
        assert np.abs(found - expected).mean() < 1 and np.abs(found - expected).max() < 5


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_formats_of_jpeg_have_the_full_range(pixel_format: str) -> None:
    image = _coded(pixel_format, full=True)
    film = in_film_format(image, BT709)
    assert film is not None
    assert np.abs(planes_of(film)[0] - _values(image)[0]).mean() < 0.6


def test_what_needs_rgb_is_refused() -> None:
    assert in_film_format(_coded("yuv420p", matrix=Colorspace.ITU601), BT709) is None, "another matrix"
    assert in_film_format(_coded("yuv420p", matrix=Colorspace.SMPTE240M), BT709) is None, "a matrix that films have not"
    assert in_film_format(_coded("rgb24"), BT709) is None
    assert in_film_format(_coded("yuv410p"), BT709) is None, "another sampling"
    odd = av.VideoFrame(63, 48, "yuv420p")
    odd.colorspace = Colorspace.ITU709
    assert in_film_format(odd, BT709) is None
    hdr = _coded("yuv420p10le")
    assert in_film_format(hdr, BT709) is not None
    hdr.color_trc = ColorTrc.SMPTE2084
    assert in_film_format(hdr, BT709) is None


def test_a_copy_has_the_pixels_and_nothing_else() -> None:
    image = _coded("yuv420p")
    image.pts, image.pict_type = 7, 1
    copy = copied(image)
    assert copy.pts is None and copy.pict_type != image.pict_type
    assert all(np.array_equal(a, b) for a, b in zip(planes_of(copy), planes_of(image)))
    planes_of(copy)[0][:] = 0
    assert planes_of(image)[0].any()


def test_a_clip_gives_planes_of_upright_frames_of_its_own_size(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mp4", [_soft()] * 2)
    turned = write_video(tmp_path / "turned.mp4", [_soft()] * 2, rotation=90)
    rgb = write_video(tmp_path / "rgb.mkv", [_soft()] * 2, codec="ffv1", pixel_format="bgra")
    for path, planar in ((plain, True), (turned, False), (rgb, False)):
        for frame in Clip(path):
            assert (frame.planes is not None) == planar
            assert frame.pixels.shape == ((64, 48, 3) if path == turned else (48, 64, 3))


def test_pixels_are_those_of_the_frame_also_after_the_reading(tmp_path: Path) -> None:
    frames = [_soft(seed) for seed in range(5)]
    clip = Clip(
        write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgra", time_base=Fraction(1, 25))
    )
    for frame, expected in zip(list(clip), frames):
        assert np.array_equal(frame.pixels, expected)
