"""Overlays drawn in the planes of their film: no frame is converted to RGB and back.

Y, U and V are affine in R, G and B, and the weights of the picture and of its colours add up to 1. So the blend of pixels
is the blend of their planes, each with the colour map in that plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from threading import local
from typing import NamedTuple

import cv2
import numpy as np
from av.video.frame import VideoFrame

from vidcam.export.blend import colours, opacity
from vidcam.export.contours import EDGE, LEVELS, draw_lines, line_colour, lines_of
from vidcam.export.levels import Levels
from vidcam.export.overlay import OUTLINE, Overlay
from vidcam.video.colour import Colour
from vidcam.video.planes import FORMAT, from_rgb, matrix_of, planes_of


def drawn_in_planes(overlay: Overlay, colour: Colour) -> Callable[[VideoFrame, int], VideoFrame] | None:
    """Return the function that draws an overlay into a frame in the format of a film.

    Args:
        overlay: of the clip.
        colour: of the film.

    Returns:
        A function that returns the picture of the film, given a frame, which it does not change, and its index. None if the
        picture is smaller than the frame, or stands beside ground.
    """
    (height, width), strip, drawing = overlay.picture, overlay.strip, overlay.explanation.drawing
    size = overlay.explanation.size
    if height < size[0] or width < size[1] or overlay.size[1] != overlay.beside + width:
        return None
    matrix = matrix_of(colour)
    blend = _Blend(overlay, colours(drawing.colormap) @ matrix[:, :3].T + matrix[:, 3])
    passed, coming = from_rgb(strip.passed, colour), from_rgb(strip.coming, colour)
    outlines = _outlines(overlay, colour)
    inks = (
        np.array([EDGE, *(line_colour(level, drawing.colormap) for level in LEVELS)]) @ matrix[:, :3].T + matrix[:, 3]
    )

    def draw(image: VideoFrame, frame: int) -> VideoFrame:
        film = VideoFrame(overlay.size[1], overlay.size[0], FORMAT)
        targets, planes = planes_of(film), _enlarged(planes_of(image), overlay.picture)
        above = [target[: len(plane), -plane.shape[1] :] for target, plane in zip(targets, planes)]
        if overlay.beside:
            for target, plane in zip(targets, planes):
                np.copyto(target[: len(plane), : plane.shape[1]], plane)
        blend.draw(planes, frame, above)
        if drawing.style == "contours":
            lines = lines_of(overlay.explanation, frame, overlay.peak)
            for target, values, sampling in zip(above, inks.T, (1, 2, 2)):
                samples = width / size[1] / sampling, height / size[0] / sampling
                draw_lines(target, lines, samples, [(value,) for value in values], sampling)
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


def _enlarged(planes: Sequence[np.ndarray], size: tuple[int, int]) -> Sequence[np.ndarray]:
    """Return Y, U and V for a picture of a size (height, width), by cubic interpolation; the same ones if they are."""
    if planes[0].shape == size:
        return planes
    height, width = size
    sizes = (width, height), *[(width // 2, height // 2)] * 2
    return [cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane, size in zip(planes, sizes)]


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
    """The blend of planes with the colours of the heat.

    A table for each plane holds the blend of each of its values with the colour of each level of heat. A sample of U and
    V has the mean level of its four pixels.

    Args:
        overlay: of the clip.
        colours: (256, 3) of the colour map in Y, U and V, by level of heat.
    """

    def __init__(self, overlay: Overlay, colours: np.ndarray) -> None:
        self._levels = Levels(overlay.explanation, overlay.peak, overlay.picture)
        shares = opacity(overlay.explanation.drawing)
        seen = np.flatnonzero(shares)
        self._least = seen[0] - 0.5 if len(seen) else np.inf  # heat that rounds to the first level with a colour
        blends = (1 - shares[:, None]) * np.arange(256) + (shares * colours.T)[..., None]
        self._tables = np.rint(blends).astype(np.uint8).reshape(3, -1)  # by 256 * level + value
        self._of_thread = _Index(self._levels.most)

    def draw(self, planes: Sequence[np.ndarray], frame: int, targets: Sequence[np.ndarray]) -> None:
        """Write the blend of Y, U and V with the heat of a frame, by its index, into targets of the planes' shapes."""
        for rows, columns, levels in self._levels.bands(frame, self._least):
            halved = cv2.resize(levels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if levels.size else levels
            for k, (plane, target, table) in enumerate(zip(planes, targets, self._tables)):
                scale, heat = (2, halved) if k else (1, levels)
                down, across = (slice(part.start // scale, part.stop // scale) for part in (rows, columns))
                np.copyto(target[down], plane[down])
                if heat.size:
                    index = self._of_thread.index[: heat.size].reshape(heat.shape)
                    np.left_shift(heat, 8, out=index, dtype=np.uint16)
                    np.add(index, plane[down, across], out=index)
                    cv2.LUT(index, table, target[down, across])


class _Index(local):
    """Indices into a table, of a band's pixels, which each thread has for itself.

    Args:
        pixels: of a band, at most.
    """

    def __init__(self, pixels: int) -> None:
        self.index = np.empty(pixels, np.uint16)
