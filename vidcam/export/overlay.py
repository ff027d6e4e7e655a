"""Frames of the overlay: the picture coloured by its heatmap, and a strip with the curve below."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from vidcam.results.explanation import Explanation
from vidcam.video.writer import even, film_size

COLORMAP = "inferno"
OPACITY = 0.8
_SMALL = 400  # clips narrower than this are enlarged by a whole factor so that text can be read
_ENLARGED = 2048  # pixels of the longer side that no clip is enlarged beyond
_NARROWEST = 320  # pixels of a strip; a picture that is still narrower stands at its left

_INK, _GROUND = (240, 240, 245), (18, 18, 24)


def blend(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a frame coloured by its heatmap; where the heat is 0 the picture is unchanged.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        heat: (H, W) in [0, 1]. The colour map is perceptually uniform; opacity grows in proportion to the heat.

    Returns:
        (H, W, 3) uint8 RGB, each value within 1 of the exact mixture.
    """
    levels = cv2.convertScaleAbs(heat, alpha=255)
    kept, laid = _shares()
    share = cv2.merge([cv2.LUT(levels, kept)] * 3)
    return cv2.add(cv2.multiply(pixels, share, scale=1 / 255), cv2.LUT(cv2.merge([levels] * 3), laid))


class Overlay:
    """The frames of an overlay film.

    Args:
        explanation: of the clip.
        sample_aspect_ratio: width of a pixel over its height.
        title: text in the strip; the explanation's title by default.
        peak: raw heat at which the colours end; the explanation's own by default.

    Attributes:
        size: (height, width) of a drawn frame in pixels, both even.
    """

    def __init__(
        self,
        explanation: Explanation,
        sample_aspect_ratio: float = 1.0,
        *,
        title: str | None = None,
        peak: float | None = None,
    ) -> None:
        self._explanation, self._peak = explanation, peak
        height, width = explanation.size
        shown = width * sample_aspect_ratio
        enlarge = max(1, round(_SMALL / min(shown, height))) if min(shown, height) < _SMALL / 1.5 else 1
        enlarge = max(1, min(enlarge, int(_ENLARGED / max(shown, height))))
        self._picture = film_size(height * enlarge, shown * enlarge)
        self._beside = max(0, _NARROWEST - self._picture[1])
        self._strip = _Strip(explanation, self._picture[1] + self._beside, title or explanation.title)
        self.size = self._picture[0] + self._strip.height, self._picture[1] + self._beside
        left, top, right, bottom = explanation.region
        self._whole = (left, top, right, bottom) == (0, 0, width, height)
        self._scale = np.array([self._picture[1] / width, self._picture[0] / height] * 2)
        self._seen = self.corners([left, top, right, bottom])

    def draw(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """Return the overlay of one frame, (*size, 3) uint8 RGB, given its upright pixels (H, W, 3) uint8 RGB."""
        picture, heat = pixels, self._explanation.heatmap(frame, self._peak)
        if pixels.shape[:2] != self._picture:
            height, width = self._picture
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
            heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
        picture = blend(picture, heat)
        if not self._whole:
            cv2.rectangle(picture, *self._seen, (200, 200, 200), 1)
        if self._beside:
            picture = cv2.copyMakeBorder(picture, 0, 0, 0, self._beside, cv2.BORDER_CONSTANT, value=_GROUND)
        return np.concatenate([picture, self._strip.draw(frame)])

    def corners(self, box: ArrayLike) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first and the last pixel (x, y) of a box in the drawn picture.

        Args:
            box: left, top, right, bottom in pixels of the frame.
        """
        left, top, right, bottom = (int(v) for v in np.rint(np.asarray(box) * self._scale))
        return (left, top), (right - 1, bottom - 1)


class _Strip:
    """The strip below the picture: label, probability or value at the frame, and for a film the curve with a playhead."""

    def __init__(self, explanation: Explanation, width: int, title: str) -> None:
        self._explanation, self._title = explanation, title
        self._font_size = max(13, round(width / 30))
        self._line = max(1, round(width / 900))
        self._margin = round(self._font_size / 4)
        self._header = round(self._font_size * 1.7)
        self._plot = even(max(40, width * 0.09)) if explanation.frames > 1 else 0
        self.height = even(self._header + self._plot + 2 * self._margin)
        self._width = width
        target, scores = explanation.target, explanation.scores
        self._range = (0.0, 1.0) if target.is_probability else (min(0.0, float(scores.min())), float(scores.max()))
        longest = max(map(target.written, self._range), key=len)
        self._score_at = self._font_size * 3 if target.is_probability else text_width(f"{longest}  ", self._font_size)
        self._ground = self._draw_ground()

    def draw(self, frame: int) -> np.ndarray:
        """Return the strip of one frame, (h, w, 3) uint8 RGB."""
        explanation = self._explanation
        strip = self._ground.copy()
        if self._plot:
            x = int(self._x(explanation.times[frame]))
            coming = strip[self._header :, x + 1 :]
            coming[:] = coming // 2 + np.array(_GROUND, np.uint8) // 2
            cv2.line(strip, (x, self._header), (x, self.height - 1), _INK, self._line)
            cv2.circle(strip, (x, int(self._y(explanation.scores[frame]))), 3 * self._line, _INK, -1, cv2.LINE_AA)
        target, score = explanation.target, float(explanation.scores[frame])
        score_text = f"{score:.2f}" if target.is_probability else target.written(score)
        write_text(
            strip, score_text, (self._width - self._margin, self._header // 2), self._font_size, _INK, anchor="rm"
        )
        return strip

    def _draw_ground(self) -> np.ndarray:
        strip = np.full((self.height, self._width, 3), _GROUND, np.uint8)
        if self._plot:
            self._draw_curve(strip)
        cv2.line(strip, (0, self._header - 1), (self._width, self._header - 1), (50, 50, 58), self._line)
        room = self._width - 2 * self._margin - self._score_at
        label = _fitted(self._title, room, self._font_size)
        write_text(strip, label, (self._margin, self._header // 2), self._font_size, _INK, anchor="lm")
        return strip

    def _draw_curve(self, strip: np.ndarray) -> None:
        explanation = self._explanation
        base = self.height - self._margin
        evidence = explanation.evidence / (explanation.highest or 1.0)
        xs = self._x(explanation.times)
        outline = np.stack([xs, base - evidence * (self._plot - self._margin)], 1)
        area = np.concatenate([[[xs[0], base]], outline, [[xs[-1], base]]]).round().astype(np.int32)
        cv2.fillPoly(strip, [area], _colour(0.62), cv2.LINE_AA)
        line = np.stack([xs, self._y(explanation.scores)], 1).round().astype(np.int32)
        cv2.polylines(strip, [line], False, _INK, self._line, cv2.LINE_AA)

    def _x(self, times: np.ndarray) -> np.ndarray:
        first, last = self._explanation.times[0], self._explanation.times[-1]
        return self._margin + (times - first) / ((last - first) or 1.0) * (self._width - 1 - 2 * self._margin)

    def _y(self, scores: np.ndarray) -> np.ndarray:
        low, high = self._range
        return (
            self.height
            - self._margin
            - np.clip((scores - low) / ((high - low) or 1.0), 0, 1) * (self._plot - self._margin)
        )


@lru_cache
def _shares() -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the pixel, (256,) in 255ths, and the weighted colour, (1, 256, 3), for each level of heat."""
    opacity = OPACITY * np.arange(256) / 255
    laid = np.rint(opacity[:, None] * _colours()).astype(np.uint8)
    return np.rint(255 * (1 - opacity)).astype(np.uint8), laid[None]


@lru_cache
def _colours() -> np.ndarray:
    """Return the colour map, (256, 3) uint8 RGB."""
    colours: np.ndarray = matplotlib.colormaps[COLORMAP](np.arange(256), bytes=True)[:, :3]
    return colours


def _colour(level: float) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in _colours()[round(level * 255)])
    return r, g, b


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _fitted(text: str, width: int, size: int) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def text_width(text: str, size: int) -> int:
    """Return the width of a text in pixels, given its size in pixels."""
    return round(_font(size).getlength(text))


def write_text(
    image: np.ndarray, text: str, at: tuple[int, int], size: int, colour: tuple[int, int, int], *, anchor: str
) -> None:
    """Draw text into an (H, W, 3) uint8 RGB image in place, its size in pixels, placed by a Pillow anchor."""
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).text(at, text, fill=colour, font=_font(size), anchor=anchor)
    image[:] = np.asarray(canvas)
