"""Planes of a film's pixel format: 8-bit Y, U and V of limited range, one sample of U and V for four pixels (4:2:0)."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from vidcam.video.colour import Colour, coded_colour, film_colour

FORMAT = "yuv420p"
"""FFmpeg's name of the pixel format of films."""

_SAMPLINGS = ("420", "422", "444")
_PLANAR = {f"{kind}{sampling}p" for kind in ("yuv", "yuvj") for sampling in _SAMPLINGS}
_PLANAR |= {f"yuv{sampling}p10le" for sampling in _SAMPLINGS}
_WEIGHTS = {Colorspace.ITU601: (0.299, 0.114), Colorspace.ITU709: (0.2126, 0.0722)}  # of red and blue in Y


def in_film_format(image: VideoFrame, colour: Colour) -> VideoFrame | None:
    """Return a decoded frame in the pixel format of a film; the frame itself if it is in it.

    Args:
        image: the frame.
        colour: of the film.

    Returns:
        The frame; None if its planes do not become those of the film without a conversion to RGB: it is HDR, of another
        matrix, is not planar YUV of 8 or 10 bits, or has an odd side.
    """
    coded = coded_colour(image)
    same = not coded.is_hdr and film_colour(coded).matrix == coded.matrix and coded.colorspace == colour.colorspace
    if not same or image.format.name not in _PLANAR or image.width % 2 or image.height % 2:
        return None
    full = image.format.name.startswith("yuvj") or image.color_range == ColorRange.JPEG
    if image.format.name == FORMAT and not full:
        return image
    return image.reformat(
        format=FORMAT,
        src_colorspace=colour.colorspace,
        dst_colorspace=colour.colorspace,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def planes_of(image: VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Y (H, W), U and V (H/2, W/2) of a frame in the format of a film, uint8, without a copy."""
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in image.planes
    )
    return y, u, v


def copied(image: VideoFrame) -> VideoFrame:
    """Return a frame with the pixels of another one in the format of a film, and nothing else of it."""
    copy = VideoFrame(image.width, image.height, FORMAT)
    for target, plane in zip(planes_of(copy), planes_of(image)):
        target[:] = plane
    return copy


def from_rgb(pixels: np.ndarray, colour: Colour) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the planes Y (H, W), U and V (H/2, W/2) of a picture, uint8.

    Args:
        pixels: (H, W, 3) uint8 RGB, both sides even.
        colour: of the film.

    Example:
        >>> from vidcam.video.colour import BT709
        >>> [plane.tolist() for plane in from_rgb(np.full((2, 2, 3), 255, np.uint8), BT709)]
        [[[235, 235], [235, 235]], [[128]], [[128]]]
    """
    height, width = pixels.shape[:2]
    y, u, v = cv2.split(cv2.transform(pixels, matrix_of(colour)))
    half = (width // 2, height // 2)
    u, v = (cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (u, v))
    return y, u, v


def matrix_of(colour: Colour) -> np.ndarray:
    """Return the (3, 4) float64 matrix that takes (R, G, B, 1) in 0..255 to Y, U, V of limited range (ITU-R BT.709, 3.3)."""
    red, blue = _WEIGHTS[colour.colorspace]
    y = np.array([red, 1 - red - blue, blue])
    u, v = ((np.eye(3)[k] - y) / (2 * (1 - y[k])) for k in (2, 0))
    rows = np.stack([219 * y, 224 * u, 224 * v]) / 255
    return np.concatenate([rows, [[16], [128], [128]]], axis=1)
