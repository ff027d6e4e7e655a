"""A canvas of 56x56 pixels and eight frames, on which the elements of small clips are drawn: squares, discs, a lamp."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np

SIDE, FRAMES = 56, 8  # pixels and frames of a clip
HUES = ((220, 50, 45), (45, 185, 60), (55, 80, 225), (225, 200, 40))
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))
HALF = 6  # side of a square, half of it, in pixels
_RADIUS = 5  # of a disc, in pixels


class Canvas:
    """A clip while it is drawn; what is drawn later hides what was drawn before."""

    def __init__(self, rng: np.random.Generator, without: Collection[str] = ()) -> None:
        base = rng.uniform(60, 130) + rng.normal(0, 10, 3)
        coarse = (base + rng.normal(0, 10, (5, 5, 1))).astype(np.float32)
        wall = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        self.frames = np.repeat(wall[None], FRAMES, axis=0)
        self.elements: dict[str, np.ndarray] = {}
        self.without = without

    def paint(self, name: str, mask: np.ndarray, colours: np.ndarray) -> None:
        """Draw an element unless it is left out, given its pixels (T, H, W) bool and colours that fit (T, H, W, 3)."""
        if name in self.without:
            return
        self.frames[mask] = np.broadcast_to(colours, self.frames.shape)[mask]
        for other in self.elements.values():
            other &= ~mask
        self.elements[name] = self.elements.get(name, np.zeros_like(mask)) | mask

    def finished(self, rng: np.random.Generator) -> np.ndarray:
        """Return the frames with noise, (T, H, W, 3) uint8 RGB."""
        noise = rng.normal(0, rng.uniform(2, 6), self.frames.shape)
        return np.clip(self.frames + noise, 0, 255).astype(np.uint8)


def hue_colour(rng: np.random.Generator, index: int) -> np.ndarray:
    """Return a random colour near a hue, by its index in `HUES`, (3,)."""
    return np.clip(np.array(HUES[index]) * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3), 0, 255)


def square(x: float, y: float) -> np.ndarray:
    """Return the pixels of a square that stands still, (T, H, W) bool, given its centre in pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = (abs(rows - y) <= HALF) & (abs(columns - x) <= HALF)
    return np.repeat(inside[None], FRAMES, axis=0)


def disc(x: np.ndarray, y: np.ndarray, radius: float = _RADIUS) -> np.ndarray:
    """Return the pixels of a disc, (T, H, W) bool, given its centre in each frame, (T,) pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray((rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2 <= radius**2)


def place(rng: np.random.Generator, left: bool, margin: float) -> tuple[float, float]:
    """Return a random centre (x, y) in one half of the picture, `margin` pixels or more from the half's edges."""
    x = rng.uniform(margin, SIDE / 2 - margin) + (0 if left else SIDE / 2)
    return x, rng.uniform(margin, SIDE - margin)


def draw_disc(canvas: Canvas, rng: np.random.Generator, left: bool, direction: int) -> None:
    """Draw the disc in one half of the picture; it moves in a direction and stays in its half."""
    speed = rng.uniform(1.3, 2.2)
    steps = (np.arange(FRAMES) - (FRAMES - 1) / 2) * speed
    dx, dy = DIRECTIONS[direction]
    reach = _RADIUS + speed * (FRAMES - 1) / 2
    x, y = rng.uniform(_RADIUS, SIDE / 2 - _RADIUS), rng.uniform(_RADIUS, SIDE - _RADIUS)
    x = float(np.clip(x, reach, SIDE / 2 - reach)) if dx else x
    y = float(np.clip(y, reach, SIDE - reach)) if dy else y
    mask = disc(x + (0 if left else SIDE / 2) + dx * steps, y + dy * steps)
    canvas.paint("disc", mask, rng.uniform(225, 250, 3))


def draw_lamp(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw the lamp, which flickers and stays where it is."""
    x, y = rng.uniform(4, SIDE - 4, 2)
    light = rng.uniform(0.2, 1.0, (FRAMES, 1, 1, 1))
    canvas.paint("lamp", disc(np.full(FRAMES, x), np.full(FRAMES, y), 3.5), light * rng.uniform(170, 255, 3))
