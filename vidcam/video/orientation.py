"""Orientation: one of eight rotations and reflections of a coded picture for display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from PIL import Image

from vidcam.untrusted.files import open_regular

_ONE = 1 << 16  # of the matrix's fixed point numbers


@dataclass(frozen=True)
class Orientation:
    """Transformation from the coded to the upright picture: transposed first, then mirrored.

    Attributes:
        transposed: True if rows and columns are exchanged.
        flipped_x, flipped_y: True if left and right, top and bottom are exchanged.
        exact: False if the file's own transformation was rounded to the nearest of the eight, or is a guess.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False
    exact: bool = True

    @property
    def is_upright(self) -> bool:
        """True if the coded picture is upright."""
        return not (self.transposed or self.flipped_x or self.flipped_y)

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Return a coded picture (H, W, 3) upright: (H, W, 3), or (W, H, 3) if transposed."""
        if self.transposed:
            pixels = cv2.transpose(pixels)
        if self.flipped_x or self.flipped_y:
            pixels = cv2.flip(pixels, -1 if self.flipped_x and self.flipped_y else int(self.flipped_x))
        return pixels


_EXIF = {  # CIPA DC-008, tag 0x0112
    1: Orientation(),
    2: Orientation(flipped_x=True),
    3: Orientation(flipped_x=True, flipped_y=True),
    4: Orientation(flipped_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flipped_x=True),
    7: Orientation(transposed=True, flipped_x=True, flipped_y=True),
    8: Orientation(transposed=True, flipped_y=True),
}


def orientation_of(image: VideoFrame, path: Path) -> Orientation:
    """Return the orientation of a decoded frame; upright if the file has none.

    Args:
        image: the frame. Its display matrix (ISO/IEC 14496-12, 8.3.2) a b u, c d v, x y w takes (column, row) of the
            coded picture to (a·column + c·row, b·column + d·row).
        path: the file, whose Exif is read if PyAV cannot give the frame's side data.
    """
    try:
        matrix = cast(Mapping[Type, SideData], image.side_data).get(Type.DISPLAYMATRIX)
    except ValueError:  # before version 19, PyAV knows no name for Exif
        return _of_exif(path)
    if matrix is None:
        return Orientation()
    a, b, _, c, d, *_ = (float(value) / _ONE for value in np.frombuffer(bytes(matrix), np.int32))
    across = max(abs(a), abs(d)) < max(abs(b), abs(c))
    x, y = (c, b) if across else (a, d)
    wanted = np.array([0, np.sign(b), np.sign(c), 0] if across else [np.sign(a), 0, 0, np.sign(d)])
    scale = max(abs(x), abs(y)) or 1.0
    exact = bool(np.allclose(np.array([a, b, c, d]) / scale, wanted, atol=0.02)) and bool(x) and bool(y)
    return Orientation(across, x < 0, y < 0, exact)


def _of_exif(path: Path) -> Orientation:
    try:
        with open_regular(path) as file, Image.open(file) as picture:
            return _EXIF.get(picture.getexif().get(0x0112, 1), Orientation())
    except Exception:  # Pillow raises anything on damaged files
        return Orientation(exact=False)
