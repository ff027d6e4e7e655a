"""Strip: the band below the picture of an overlay: what is explained and how, the colour bar, and for a film the curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from vidcam.export.blend import colours
from vidcam.export.contours import EDGE, LEVELS, line_colour
from vidcam.export.text import fitted, text_width, wrapped, write_text
from vidcam.results.explanation import Explanation
from vidcam.video.writer import even

_SCORES = 64  # texts of scores that are kept
_BAR = 0.16  # of the width, for the colours of the colour bar

INK, FAINT, GROUND = (240, 240, 245), (170, 170, 182), (18, 18, 24)
CAUTION, ON_CAUTION = (255, 190, 40), (20, 16, 0)
"""Ground and text of the mark of an explanation that means nothing."""


class Patch(NamedTuple):
    """A part of a strip that changes from frame to frame; its place and its sides are even.

    Attributes:
        top, left: of its first pixel in the strip.
        pixels: (h, w, 3) uint8 RGB.
    """

    top: int
    left: int
    pixels: np.ndarray


class Strip:
    """The strip below the picture.

    From top to bottom: a mark if the explanation means nothing; the label, and the score at the frame; model, method and
    layer, and the colour bar; for a film the curve with a playhead.

    Args:
        explanation: of the clip.
        width: of the strip in pixels, even.
        title: the label.
        peak: raw heat at which the colours end.
        picture_width: of the picture with heat, in pixels, which text and curve are in proportion to.

    Attributes:
        height: in pixels, even.
        passed: the strip without playhead and score, (height, width, 3) uint8 RGB.
        coming: the same with a darkened curve, for the part that is still to come.
        bar: first pixel (x, y) of the colours of the colour bar, and the one after its last.
    """

    def __init__(self, explanation: Explanation, width: int, title: str, peak: float, picture_width: int) -> None:
        self._explanation, self._width = explanation, width
        self._font_size = max(13, round(picture_width / 30))
        self._small = max(11, round(0.65 * self._font_size))
        self._line = max(1, round(picture_width / 900))
        self._margin = round(self._font_size / 4)
        self._caution = explanation.meaningless
        self._label_top = even(1.5 * self._font_size) if self._caution else 0
        self._facts_top = self._label_top + even(1.7 * self._font_size)

        self._end = f"{peak:.3g}" if peak else "no heat"
        bar = round(_BAR * picture_width)
        gap = round(self._small / 3)
        after = gap + text_width(self._end, self._small)
        legend = text_width("heat 0", self._small) + gap + bar + after
        room = width - 2 * self._margin
        facts = wrapped((explanation.model, explanation.method, explanation.layer), room, self._small)
        if text_width(f"{facts[-1]}    ", self._small) + legend > room:
            facts.append("")  # the colour bar has a line of its own
        line = round(1.4 * self._small)
        self._curve_top = self._facts_top + even(len(facts) * line)
        self._plot = even(max(40, picture_width * 0.08)) if explanation.frames > 1 else 0
        self.height = even(self._curve_top + self._plot + 2 * self._margin)
        right = width - self._margin - after
        middle = self._facts_top + (len(facts) - 1) * line + line // 2
        half = max(3, self._small // 3)
        self.bar = (right - bar, middle - half), (right, middle + half)

        target, scores = explanation.target, explanation.scores
        self._range = (0.0, 1.0) if target.is_probability else (min(0.0, float(scores.min())), float(scores.max()))
        longest = max(map(self._written, self._range), key=len)
        self._score_at = text_width(f"{longest} ", self._font_size)
        self._cached_score = lru_cache(_SCORES)(self._score)
        self.passed = self._draw_ground(title, facts, line)
        self.coming = self.passed.copy()
        plot = self.coming[self._curve_top :]
        plot[:] = plot // 2 + np.array(GROUND, np.uint8) // 2

    def draw(self, frame: int) -> np.ndarray:
        """Return the strip of one frame, (height, width, 3) uint8 RGB."""
        strip = self.passed.copy()
        seam = self.seam(frame)
        strip[:, seam:] = self.coming[:, seam:]
        for top, left, pixels in self.patches(frame):
            strip[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return strip

    def seam(self, frame: int) -> int:
        """Return the first column that is still to come at a frame."""
        return int(self._x(self._explanation.times[frame])) + 1 if self._plot else self._width

    def patches(self, frame: int) -> list[Patch]:
        """Return the score of a frame, and for a film the playhead, each with the strip around it."""
        score = self._written(float(self._explanation.scores[frame]))
        return [self._cached_score(score), *([self._playhead(frame)] if self._plot else [])]

    def _written(self, score: float) -> str:
        target = self._explanation.target
        return f"{score:.2f}" if target.is_probability else target.written(score)

    def _score(self, text: str) -> Patch:
        left = max(0, self._width - self._margin - text_width(text, self._font_size) - 2) // 2 * 2
        pixels = self.passed[self._label_top : self._facts_top, left:].copy()
        at = self._width - self._margin - left, len(pixels) // 2
        write_text(pixels, text, at, self._font_size, INK, anchor="rm")
        return Patch(self._label_top, left, pixels)

    def _playhead(self, frame: int) -> Patch:
        x, reach = self.seam(frame) - 1, 3 * self._line + 2
        left, right = max(0, x - reach) // 2 * 2, min(self._width, (x + reach + 2) // 2 * 2)
        pixels = self.passed[self._curve_top :, left:right].copy()
        pixels[:, x + 1 - left :] = self.coming[self._curve_top :, x + 1 : right]
        y = int(self._y(self._explanation.scores[frame])) - self._curve_top
        cv2.line(pixels, (x - left, 0), (x - left, len(pixels) - 1), INK, self._line)
        cv2.circle(pixels, (x - left, y), 3 * self._line, INK, -1, cv2.LINE_AA)
        return Patch(self._curve_top, left, pixels)

    def _draw_ground(self, title: str, facts: Sequence[str], line: int) -> np.ndarray:
        strip = np.full((self.height, self._width, 3), GROUND, np.uint8)
        if self._plot:
            self._draw_curve(strip)
        cv2.line(strip, (0, self._curve_top - 1), (self._width, self._curve_top - 1), (50, 50, 58), self._line)
        left, right = self._margin, self._width - self._margin
        if self._caution:
            strip[: self._label_top] = CAUTION
            fits = text_width(self._caution, self._font_size) <= right - left
            size = self._font_size if fits else self._small
            text = fitted(self._caution, right - left, size)
            write_text(strip, text, (left, self._label_top // 2), size, ON_CAUTION, anchor="lm")
        middle = (self._label_top + self._facts_top) // 2
        name = "score" if self._explanation.target.is_probability else "value"
        name = f"{name} now " if self._plot else f"{name} "
        write_text(strip, name, (right - self._score_at, middle), self._small, FAINT, anchor="rm")
        room = right - left - self._score_at - text_width(f"  {name}", self._small)
        write_text(strip, fitted(title, room, self._font_size), (left, middle), self._font_size, INK, anchor="lm")
        for k, text in enumerate(facts):
            at = left, self._facts_top + k * line + line // 2
            write_text(strip, text, at, self._small, FAINT, anchor="lm")
        (first, top), (last, bottom) = self.bar
        colormap = self._explanation.drawing.colormap
        strip[top:bottom, first:last] = colours(colormap)[np.linspace(0, 255, last - first).round().astype(int)]
        for level in LEVELS if self._explanation.drawing.style == "contours" else ():
            x = first + round(level * (last - first - 1))
            strip[top:bottom, x - self._line : x + self._line] = EDGE
            strip[top:bottom, x] = line_colour(level, colormap)
        middle = (top + bottom) // 2
        gap = round(self._small / 3)
        write_text(strip, "heat 0", (first - gap, middle), self._small, FAINT, anchor="rm")
        write_text(strip, self._end, (last + gap, middle), self._small, FAINT, anchor="lm")
        return strip

    def _draw_curve(self, strip: np.ndarray) -> None:
        explanation = self._explanation
        base = self.height - self._margin
        evidence = explanation.evidence / (explanation.highest or 1.0)
        xs = self._x(explanation.times)
        outline = np.stack([xs, base - evidence * (self._plot - self._margin)], 1)
        area = np.concatenate([[[xs[0], base]], outline, [[xs[-1], base]]]).round().astype(np.int32)
        warm = tuple(int(v) for v in colours(explanation.drawing.colormap)[round(0.62 * 255)])
        cv2.fillPoly(strip, [area], warm, cv2.LINE_AA)
        line = np.stack([xs, self._y(explanation.scores)], 1).round().astype(np.int32)
        cv2.polylines(strip, [line], False, INK, self._line, cv2.LINE_AA)

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
