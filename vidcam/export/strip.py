"""Strip: the band below the picture of an overlay, with label, score, and for a film the curve with a playhead."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from vidcam.export.blend import colours
from vidcam.export.text import fitted, text_width, write_text
from vidcam.results.explanation import Explanation
from vidcam.video.writer import even

_SCORES = 64  # texts of scores that are kept

INK, GROUND = (240, 240, 245), (18, 18, 24)


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
    """The strip below the picture: label, probability or value at the frame, and for a film the curve with a playhead.

    Args:
        explanation: of the clip.
        width: of the strip in pixels, even.
        title: the label.

    Attributes:
        height: in pixels, even.
        passed: the strip without playhead and score, (height, width, 3) uint8 RGB.
        coming: the same with a darkened curve, for the part that is still to come.
    """

    def __init__(self, explanation: Explanation, width: int, title: str) -> None:
        self._explanation, self._title = explanation, title
        self._font_size = max(13, round(width / 30))
        self._line = max(1, round(width / 900))
        self._margin = round(self._font_size / 4)
        self._header = even(self._font_size * 1.7)
        self._plot = even(max(40, width * 0.09)) if explanation.frames > 1 else 0
        self.height = even(self._header + self._plot + 2 * self._margin)
        self._width = width
        target, scores = explanation.target, explanation.scores
        self._range = (0.0, 1.0) if target.is_probability else (min(0.0, float(scores.min())), float(scores.max()))
        longest = max(map(target.written, self._range), key=len)
        self._score_at = self._font_size * 3 if target.is_probability else text_width(f"{longest}  ", self._font_size)
        self._cached_score = lru_cache(_SCORES)(self._score)
        self.passed = self._draw_ground()
        self.coming = self.passed.copy()
        plot = self.coming[self._header :]
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
        target, score = self._explanation.target, float(self._explanation.scores[frame])
        text = f"{score:.2f}" if target.is_probability else target.written(score)
        return [self._cached_score(text), *([self._playhead(frame)] if self._plot else [])]

    def _score(self, text: str) -> Patch:
        left = max(0, self._width - self._margin - text_width(text, self._font_size) - 2) // 2 * 2
        pixels = self.passed[: self._header, left:].copy()
        at = self._width - self._margin - left, self._header // 2
        write_text(pixels, text, at, self._font_size, INK, anchor="rm")
        return Patch(0, left, pixels)

    def _playhead(self, frame: int) -> Patch:
        x, reach = self.seam(frame) - 1, 3 * self._line + 2
        left, right = max(0, x - reach) // 2 * 2, min(self._width, (x + reach + 2) // 2 * 2)
        pixels = self.passed[self._header :, left:right].copy()
        pixels[:, x + 1 - left :] = self.coming[self._header :, x + 1 : right]
        y = int(self._y(self._explanation.scores[frame])) - self._header
        cv2.line(pixels, (x - left, 0), (x - left, len(pixels) - 1), INK, self._line)
        cv2.circle(pixels, (x - left, y), 3 * self._line, INK, -1, cv2.LINE_AA)
        return Patch(self._header, left, pixels)

    def _draw_ground(self) -> np.ndarray:
        strip = np.full((self.height, self._width, 3), GROUND, np.uint8)
        if self._plot:
            self._draw_curve(strip)
        cv2.line(strip, (0, self._header - 1), (self._width, self._header - 1), (50, 50, 58), self._line)
        room = self._width - 2 * self._margin - self._score_at
        label = fitted(self._title, room, self._font_size)
        write_text(strip, label, (self._margin, self._header // 2), self._font_size, INK, anchor="lm")
        return strip

    def _draw_curve(self, strip: np.ndarray) -> None:
        explanation = self._explanation
        base = self.height - self._margin
        evidence = explanation.evidence / (explanation.highest or 1.0)
        xs = self._x(explanation.times)
        outline = np.stack([xs, base - evidence * (self._plot - self._margin)], 1)
        area = np.concatenate([[[xs[0], base]], outline, [[xs[-1], base]]]).round().astype(np.int32)
        warm = tuple(int(v) for v in colours()[round(0.62 * 255)])
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
