"""Overlay of a live step: the picture coloured by its heat, and a strip with label, score, delay and the last seconds."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from vidcam.export.blend import blend, colours
from vidcam.export.overlay import OUTLINE
from vidcam.export.strip import GROUND, INK
from vidcam.export.text import fitted, text_width, write_text
from vidcam.live.step import Step
from vidcam.models.preprocess import Preprocess
from vidcam.results.drawing import Drawing
from vidcam.results.upsampling import placed, upsampled
from vidcam.video.writer import even

SHOWN = 10.0
"""Seconds of the curve in the strip."""

_NARROWEST = 320  # pixels of an overlay


class LiveOverlay:
    """The overlays of a stream.

    Args:
        preprocess: says which part of a picture the network sees.
        drawing: colours and opacity, and the style "overlay" or "heat".
    """

    def __init__(self, preprocess: Preprocess, drawing: Drawing = Drawing()) -> None:
        self._preprocess, self._drawing = preprocess, drawing
        self._curve: deque[tuple[float, float, float]] = deque()  # seconds, evidence and score from 0 to 1
        self._highest = 0.0  # evidence among these

    def draw(self, step: Step) -> np.ndarray:
        """Return the overlay of the next step, (H', W', 3) uint8 RGB: both sides even, at least 320 pixels wide."""
        pixels = step.frame.pixels
        height, width = pixels.shape[:2]
        picture = pixels
        if step.heat is not None:
            picture = blend(pixels, self._heat(step.heat, step.scale, height, width), self._drawing)
        left, top, right, bottom = (round(v) for v in self._preprocess.region(height, width))
        if (left, top, right, bottom) != (0, 0, width, height):
            picture = cv2.rectangle(picture.copy(), (left, top), (right - 1, bottom - 1), OUTLINE, 1)
        beside, below = max(even(width), _NARROWEST) - width, even(height) - height
        if beside > 0 or below > 0:
            picture = cv2.copyMakeBorder(
                picture, 0, max(0, below), 0, max(0, beside), cv2.BORDER_CONSTANT, value=GROUND
            )
        picture = picture[: even(height), : max(even(width), _NARROWEST)]
        return np.concatenate([picture, self._strip(step, picture.shape[1])])

    def _heat(self, heat: np.ndarray, scale: float, height: int, width: int) -> np.ndarray:
        """Return the heat on the whole picture, (H, W) in [0, 1]."""
        left, top, right, bottom = self._preprocess.region(height, width)
        (above, rows), (across, columns) = (
            placed(height, top, bottom, heat.shape[0]),
            placed(width, left, right, heat.shape[1]),
        )
        whole = np.zeros((height, width), np.float32)
        whole[above, across] = upsampled(heat / (scale or 1.0), rows, columns)
        return whole

    def _strip(self, step: Step, width: int) -> np.ndarray:
        size = max(13, round(width / 30))
        margin, header = round(size / 4), even(size * 1.7)
        plot = even(max(40, width * 0.09))
        strip = np.full((header + plot + 2 * even(margin), width, 3), GROUND, np.uint8)
        score = "" if step.score is None else f"{step.score:.2f}  "
        text = f"{score}{step.delay:.1f} s behind"
        write_text(strip[:header], text, (width - margin, header // 2), size, INK, anchor="rm")
        room = width - 3 * margin - text_width(text, size)
        label = fitted(step.label or "no window yet", max(0, room), size)
        write_text(strip[:header], label, (margin, header // 2), size, INK, anchor="lm")
        self._draw_curve(strip[header:], step, margin, plot)
        return strip

    def _draw_curve(self, strip: np.ndarray, step: Step, margin: int, plot: int) -> None:
        score = min(1.0, max(0.0, step.score or 0.0))
        self._curve.append((step.time, step.evidence, score))
        while self._curve[0][0] < step.time - SHOWN or self._curve[0][0] > step.time:
            self._curve.popleft()
        times, evidence, scores = np.array(self._curve).T
        base = len(strip) - margin
        xs = margin + (1 - (step.time - times) / SHOWN) * (strip.shape[1] - 1 - 2 * margin)
        heights = evidence / (evidence.max() or 1.0) * (plot - margin)
        outline = np.stack([xs, base - heights], 1)
        area = np.concatenate([[[xs[0], base]], outline, [[xs[-1], base]]]).round().astype(np.int32)
        warm = tuple(int(v) for v in colours(self._drawing.colormap)[round(0.62 * 255)])
        cv2.fillPoly(strip, [area], warm, cv2.LINE_AA)
        line = np.stack([xs, base - scores * (plot - margin)], 1).round().astype(np.int32)
        cv2.polylines(strip, [line], False, INK, max(1, round(strip.shape[1] / 900)), cv2.LINE_AA)
