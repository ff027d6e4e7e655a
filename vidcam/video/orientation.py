"""How a coded picture is turned and mirrored for display: the eight orientations of a display matrix."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

_ONE = 1 << 16  # of the matrix's fixed point numbers


@dataclass(frozen=True)
class Orientation:
    """From the coded to the upright picture: rows and columns are exchanged first, then the picture is mirrored.

    Attributes:
        transposed: rows and columns are exchanged.
        flipped_x, flipped_y: left and right, top and bottom are exchanged.
        exact: the matrix was one of the eight; otherwise this is the nearest.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False
    exact: bool = True

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Turn a coded picture (H, W, 3) upright: (H, W, 3), or (W, H, 3) where it is transposed."""
        if self.transposed:
            pixels = cv2.transpose(pixels)
        if self.flipped_x or self.flipped_y:
            pixels = cv2.flip(pixels, -1 if self.flipped_x and self.flipped_y else int(self.flipped_x))
        return pixels


def orientation_of(image: VideoFrame) -> Orientation:
    """Read the orientation from the display matrix of a frame (ISO/IEC 14496-12, 8.3.2); upright where it has none.

    The matrix a b u, c d v, x y w takes (column, row) of the coded picture to (a·column + c·row, b·column + d·row).
    """
    side_data = next((data for data in image.side_data if data.type == Type.DISPLAYMATRIX), None)
    if side_data is None:
        return Orientation()
    a, b, _, c, d, *_ = (float(value) / _ONE for value in np.frombuffer(bytes(side_data), np.int32))
    across = max(abs(a), abs(d)) < max(abs(b), abs(c))
    x, y = (c, b) if across else (a, d)
    wanted = np.array([0, np.sign(b), np.sign(c), 0] if across else [np.sign(a), 0, 0, np.sign(d)])
    scale = max(abs(x), abs(y)) or 1.0
    exact = bool(np.allclose(np.array([a, b, c, d]) / scale, wanted, atol=0.02)) and bool(x) and bool(y)
    return Orientation(across, x < 0, y < 0, exact)
