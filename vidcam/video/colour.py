"""Colour: the coding of a film's pixel values."""

from __future__ import annotations

from dataclasses import dataclass

from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

_UNSPECIFIED = 2  # ISO/IEC 23001-8
_SMPTE170M_MATRIX = 6
_BT601_MATRICES = (5, _SMPTE170M_MATRIX)
_HDR = (int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67))
_HD_HEIGHT = 720


@dataclass(frozen=True)
class Colour:
    """Coding of brightness and colour, in the code points of ITU-T H.273: matrix, primaries, transfer."""

    matrix: int
    primaries: int
    transfer: int

    @property
    def is_hdr(self) -> bool:
        """True for PQ and HLG of ITU-R BT.2100."""
        return self.transfer in _HDR

    @property
    def colorspace(self) -> Colorspace:
        """FFmpeg's conversion matrix, of BT.601 or BT.709."""
        return Colorspace.ITU601 if self.matrix in _BT601_MATRICES else Colorspace.ITU709


BT709 = Colour(int(Colorspace.ITU709), int(ColorPrimaries.BT709), int(ColorTrc.BT709))


def coded_colour(image: VideoFrame) -> Colour:
    """Return the colour that a frame is tagged with; an untagged matrix is BT.709 from 720 lines on, else BT.601.

    Video players assume the same.
    """
    matrix = int(image.colorspace)
    if matrix == _UNSPECIFIED:
        matrix = BT709.matrix if image.height >= _HD_HEIGHT else _SMPTE170M_MATRIX
    return Colour(matrix, int(image.color_primaries), int(image.color_trc))


def film_colour(coded: Colour) -> Colour:
    """Return the colour of a film made from a clip of this colour: BT.709 for HDR and other matrices, else the same."""
    if coded.is_hdr:
        return BT709
    matrix = coded.matrix if coded.matrix in (BT709.matrix, *_BT601_MATRICES) else BT709.matrix
    return Colour(matrix, coded.primaries, coded.transfer)
