"""Overlays drawn in the planes of their film: no frame is converted to RGB and back.

Y, U and V are affine in R, G and B, and the weights of the picture and of its colours add up to 1. So the blend of pixels
is the blend of their planes, each with the colour map in that plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np
from av.video.frame import VideoFrame

from vidcam.export.blend import colours, opacity
from vidcam.export.overlay import OUTLINE, Overlay
from vidcam.results.explanation import interpolation
from vidcam.video.colour import Colour
from vidcam.video.planes import FORMAT, from_rgb, matrix_of, planes_of

_NODES = 15  # for each cell of a map, along an axis; odd, so that one lies at the centre of the cell
_AT_ONCE = 1 << 18  # pixels that are blended at once, which stay in a processor's cache


def drawn_in_planes(overlay: Overlay, colour: Colour) -> Callable[[VideoFrame, int], VideoFrame] | None:
    """Return the function that draws an overlay into a frame in the format of a film; None if it enlarges its pictures.

    Args:
        overlay: of the clip.
        colour: of the film.

    Returns:
        A function that returns the picture of the film, given a frame, which it does not change, and its index.
    """
    if overlay.picture != overlay.explanation.size or overlay.size[1] != overlay.picture[1]:
        return None
    (height, width), strip = overlay.picture, overlay.strip
    matrix = matrix_of(colour)
    tables = colours() @ matrix[:, :3].T + matrix[:, 3]  # (256, 3)
    blends = [_Blend(overlay, tables[:, :1], 1), _Blend(overlay, tables[:, 1:], 2)]
    passed, coming = from_rgb(strip.passed, colour), from_rgb(strip.coming, colour)
    outlines = _outlines(overlay, colour)

    def draw(image: VideoFrame, frame: int) -> VideoFrame:
        film = VideoFrame(width, height + strip.height, FORMAT)
        targets, planes = planes_of(film), planes_of(image)
        above = [target[: len(plane)] for target, plane in zip(targets, planes)]
        blends[0].draw(planes[:1], frame, above[:1])
        blends[1].draw(planes[1:], frame, above[1:])
        for target, plane, (at, line, outside, value) in zip(above, planes, outlines):
            target[at] = np.rint(target[at] * (1 - line - outside) + plane[at] * outside + value * line)
        seam, patches = strip.seam(frame), [(p, from_rgb(p.pixels, colour)) for p in strip.patches(frame)]
        for k, scale in enumerate((1, 2, 2)):
            below, until = targets[k][len(planes[k]) :], ceil(seam / scale)
            below[:, :until], below[:, until:] = passed[k][:, :until], coming[k][:, until:]
            for patch, pixels in patches:
                top, left, (h, w) = patch.top // scale, patch.left // scale, pixels[k].shape
                below[top : top + h, left : left + w] = pixels[k]
        return film

    return draw


class _Outline(NamedTuple):
    """The line around the region that the network sees, in one plane.

    Attributes:
        at: indices of the samples that it covers in part or whole.
        line, outside: (N,) its share in each sample, and that of pixels outside the region.
        value: of the line.
    """

    at: tuple[np.ndarray, ...]
    line: np.ndarray
    outside: np.ndarray
    value: int


def _outlines(overlay: Overlay, colour: Colour) -> list[_Outline]:
    """Return the line for Y, U and V; [] if the network sees the whole picture."""
    if overlay.outlined is None:
        return []
    line, inside = np.zeros(overlay.picture, np.uint8), np.zeros(overlay.picture, np.uint8)
    cv2.rectangle(line, *overlay.outlined, 255, 1)
    cv2.rectangle(inside, *overlay.outlined, 255, -1)
    found = []
    for k, value in enumerate(from_rgb(np.full((2, 2, 3), OUTLINE, np.uint8), colour)):
        size = (line.shape[1] // (2 if k else 1), line.shape[0] // (2 if k else 1))
        lines, insides = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in (line, inside))
        at = np.nonzero(lines)
        found.append(_Outline(at, lines[at] / 255, 1 - insides[at] / 255, int(value[0, 0])))
    return found


class _Blend:
    """The blend of planes of one size with the colours of the heat.

    The weights of picture and colours vary slowly: they are computed at `_NODES` places for each cell of a map, along
    both axes, and interpolated between these.

    Args:
        overlay: of the clip.
        tables: (256, planes) values of the colour map in each plane, by level of heat.
        scale: pixels of the picture for one sample, along an axis.
    """

    def __init__(self, overlay: Overlay, tables: np.ndarray, scale: int) -> None:
        explanation = overlay.explanation
        (height, width), (_, h, w) = explanation.size, explanation.maps.shape
        left, top, right, bottom = explanation.region
        self._maps, self._peak = explanation.maps, overlay.peak or 1.0
        self._rows, above = _nodes(height, top, bottom, h, scale)
        self._columns, across = _nodes(width, left, right, w, scale)
        self._part = above, across
        self._kept = np.rint(255 * (1 - opacity())).astype(np.uint8)
        self._laid = [np.rint(255 * opacity() * table).astype(np.uint16) for table in tables.T]
        size = above.stop - above.start, across.stop - across.start
        self._share, self._colour = np.empty(size, np.uint8), np.empty(size, np.uint16)
        self._mixed = np.empty((max(1, _AT_ONCE // size[1]), size[1]), np.uint16)

    def draw(self, planes: Sequence[np.ndarray], frame: int, targets: Sequence[np.ndarray]) -> None:
        """Write the blend of planes with the heat of a frame, by its index, into targets of the same shape."""
        heat = self._rows @ (self._maps[frame] / self._peak) @ self._columns.T
        levels = cv2.convertScaleAbs(heat, alpha=255)
        size = self._share.shape[::-1]
        cv2.resize(cv2.LUT(levels, self._kept), size, self._share, interpolation=cv2.INTER_LINEAR)
        for plane, laid, target in zip(planes, self._laid, targets):
            if self._share.shape != target.shape:
                np.copyto(target, plane)
            cv2.resize(cv2.LUT(levels, laid), size, self._colour, interpolation=cv2.INTER_LINEAR)
            given, drawn = plane[self._part], target[self._part]
            for top in range(0, len(drawn), len(self._mixed)):
                rows = slice(top, min(top + len(self._mixed), len(drawn)))
                mixed = self._mixed[: rows.stop - rows.start]  # in 255ths
                np.multiply(given[rows], self._share[rows], out=mixed, dtype=np.uint16)
                np.add(mixed, self._colour[rows], out=mixed)
                cv2.convertScaleAbs(mixed, drawn[rows], 1 / 255)


def _nodes(pixels: int, start: float, end: float, cells: int, scale: int) -> tuple[np.ndarray, slice]:
    """Return the share of each cell in each node along an axis, (nodes, cells), and the samples that the nodes cover.

    Args:
        pixels: of the picture along this axis.
        start, end: pixels over which the map is stretched.
        cells: of the map.
        scale: pixels for one sample.
    """
    first, last = max(0, ceil(start - 0.5)) // scale, ceil(min(pixels, ceil(end - 0.5)) / scale)
    aligned = (first * scale, last * scale) == (start, end)  # or no node would lie at the centre of a cell
    nodes = min(last - first, _NODES * cells) if aligned else last - first
    at = scale * (first + (np.arange(nodes) + 0.5) * (last - first) / nodes)
    return interpolation(np.clip(at, start, np.nextafter(end, start)), start, end, cells), slice(first, last)
