"""Frames of the overlay: the picture coloured by its heatmap, and a strip below that says what it shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vidcam.export.blend import blend
from vidcam.export.contours import EDGE, LEVELS, draw_lines, line_colour, lines_of
from vidcam.export.strip import GROUND, Strip
from vidcam.results.explanation import Explanation
from vidcam.video.writer import even, film_size

OUTLINE = (200, 200, 200)
"""Colour of the line around the region that the network sees, where it does not see the whole picture."""

_SMALL = 400  # clips narrower than this are enlarged by a whole factor so that text can be read
_ENLARGED = 2048  # pixels of the longer side that no clip is enlarged beyond
_NARROWEST = 320  # pixels of a strip; a picture that is still narrower stands at its left


class Overlay:
    """The frames of an overlay film.

    Args:
        explanation: of the clip; kept as an attribute.
        sample_aspect_ratio: width of a pixel over its height.
        title: text in the strip; the explanation's title by default.
        peak: raw heat at which the colours end; the explanation's own by default.

    Attributes:
        size: (height, width) of a drawn frame in pixels, both even.
        picture: (height, width) of the picture with heat, above the strip.
        beside: width of the plain picture at its left, side by side; else 0.
        strip: below.
        outlined: first and last pixel (x, y) in the picture of the region that the network sees; None if it sees the
            whole picture.
    """

    def __init__(
        self,
        explanation: Explanation,
        sample_aspect_ratio: float = 1.0,
        *,
        title: str | None = None,
        peak: float | None = None,
    ) -> None:
        self.explanation = explanation
        self.peak = explanation.peak if peak is None else peak
        height, width = explanation.size
        shown = width * sample_aspect_ratio
        enlarge = max(1, round(_SMALL / min(shown, height))) if min(shown, height) < _SMALL / 1.5 else 1
        enlarge = max(1, min(enlarge, int(_ENLARGED / max(shown, height))))
        side_by_side = explanation.drawing.style == "side-by-side"
        high, wide = film_size(height * enlarge, (1 + side_by_side) * shown * enlarge)
        self.picture = high, even(wide / 2) if side_by_side else wide
        self.beside = self.picture[1] if side_by_side else 0
        self._ground = max(0, _NARROWEST - self.beside - self.picture[1])
        whole_width = self.beside + self.picture[1] + self._ground
        text = title or explanation.title
        self.strip = Strip(explanation, whole_width, text, self.peak, whole_width - self.beside)
        self.size = self.picture[0] + self.strip.height, whole_width
        left, top, right, bottom = explanation.region
        self._scale = np.array([self.picture[1] / width, self.picture[0] / height] * 2)
        whole = (left, top, right, bottom) == (0, 0, width, height)
        self.outlined = None if whole else self._corners([left, top, right, bottom])

    def draw(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """Return the overlay of one frame, (*size, 3) uint8 RGB, given its upright pixels (H, W, 3) uint8 RGB."""
        plain = _resized(pixels, self.picture, cv2.INTER_CUBIC)
        picture = draw_heat(plain, self.explanation, frame, self.peak)
        if self.outlined is not None:
            cv2.rectangle(picture, *self.outlined, OUTLINE, 1)
        if self.beside:
            picture = np.concatenate([plain, picture], 1)
        if self._ground:
            picture = cv2.copyMakeBorder(picture, 0, 0, 0, self._ground, cv2.BORDER_CONSTANT, value=GROUND)
        return np.concatenate([picture, self.strip.draw(frame)])

    def corners(self, box: ArrayLike) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first and the last pixel (x, y) of a box in the drawn frame.

        Args:
            box: left, top, right, bottom in pixels of the frame.
        """
        (left, top), (right, bottom) = self._corners(box)
        return (self.beside + left, top), (self.beside + right, bottom)

    def _corners(self, box: ArrayLike) -> tuple[tuple[int, int], tuple[int, int]]:
        left, top, right, bottom = (int(v) for v in np.rint(np.asarray(box) * self._scale))
        return (left, top), (right - 1, bottom - 1)


def draw_heat(picture: np.ndarray, explanation: Explanation, frame: int, peak: float) -> np.ndarray:
    """Return a picture with the heat of a frame in the explanation's style, without a strip.

    Args:
        picture: (H, W, 3) uint8 RGB of the whole frame, in any size.
        explanation: of the clip.
        frame: index of the frame.
        peak: raw heat at which the colours end.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    size, drawing = (picture.shape[0], picture.shape[1]), explanation.drawing
    if drawing.style != "contours":
        return blend(picture, _resized(explanation.heatmap(frame, peak), size, cv2.INTER_LINEAR), drawing)
    scale = size[1] / explanation.size[1], size[0] / explanation.size[0]
    inks = [EDGE, *(line_colour(level, drawing.colormap) for level in LEVELS)]
    drawn = picture.copy()
    draw_lines(drawn, lines_of(explanation, frame, peak), scale, inks)
    return drawn


def _resized(values: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """Return a picture or a map (height, width, ...) in another size; the same one if it has that size."""
    return values if values.shape[:2] == size else cv2.resize(values, size[::-1], interpolation=interpolation)
