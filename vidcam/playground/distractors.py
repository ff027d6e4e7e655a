"""Distractors of a scene: a textured background, and moving things that have no meaning."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin

import cv2
import numpy as np

from vidcam.playground.figure import Colour, Look, colour_of


@dataclass(frozen=True)
class Background:
    """A textured wall above a floor, larger than the frame so that it can pan (units: frame heights, seconds)."""

    coarse: np.ndarray
    fine: np.ndarray
    panels: tuple[tuple[float, float, float, float, Colour], ...]
    horizon: float
    floor: Colour
    velocity: tuple[float, float]
    contrast: float

    MARGIN = 0.35

    @classmethod
    def random(cls, rng: np.random.Generator, seconds: float, clutter: float) -> Background:
        """Return a wall of two noise textures with panels, which pans.

        Args:
            rng: the source of randomness.
            seconds: duration that its margin allows at the highest speed.
            clutter: 1 for the highest speed; less is slower.
        """
        base = rng.uniform(50, 205) + rng.normal(0, 28, 3)
        grid = (rng.integers(3, 9), rng.integers(3, 9))
        fastest = clutter * min(0.16, 0.9 * cls.MARGIN / seconds)
        return cls(
            coarse=(base + rng.normal(0, 22, (*grid, 1)) + rng.normal(0, 8, (*grid, 3))).astype(np.float32),
            fine=rng.normal(0, 1, (rng.integers(20, 60), rng.integers(20, 60), 1)).astype(np.float32),
            panels=tuple(
                (
                    rng.uniform(-cls.MARGIN, 1.2),
                    rng.uniform(-cls.MARGIN, 0.9),
                    rng.uniform(0.05, 0.4),
                    rng.uniform(0.05, 0.4),
                    colour_of(base + rng.normal(0, 30) + rng.normal(0, 20, 3)),
                )
                for _ in range(rng.integers(0, 7))
            ),
            horizon=rng.uniform(0.62, 0.8),
            floor=colour_of(base * rng.uniform(0.4, 0.9) + rng.normal(0, 15, 3)),
            velocity=(rng.uniform(-fastest, fastest), rng.uniform(-fastest, fastest) * 0.25),
            contrast=rng.uniform(3, 16),
        )

    def texture(self, size: int) -> np.ndarray:
        """Return the whole wall for frames of `size` pixels: (H', W', 3) uint8 with the margin on every side."""
        side = round(size * (1 + 2 * self.MARGIN))
        canvas = cv2.resize(self.coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        for x, y, w, h, colour in self.panels:
            corner = round((x + self.MARGIN) * size), round((y + self.MARGIN) * size)
            opposite = round((x + w + self.MARGIN) * size), round((y + h + self.MARGIN) * size)
            cv2.rectangle(canvas, corner, opposite, colour, -1)
        line = round((self.horizon + self.MARGIN) * size)
        canvas[line:] = 0.35 * canvas[line:] + 0.65 * np.array(self.floor, np.float32)
        grain = cv2.resize(self.fine, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
        return np.clip(canvas + self.contrast * grain, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Ball:
    """A two-coloured ball that rolls across the frame, spinning and bouncing (frame heights, seconds)."""

    radius: float
    start: tuple[float, float]
    velocity: float
    bounce: float
    rate: float
    spin: float
    colours: tuple[Colour, Colour]
    in_front: bool

    @classmethod
    def random(cls, rng: np.random.Generator) -> Ball:
        """Return a ball that enters from either side, again and again."""
        return cls(
            radius=rng.uniform(0.045, 0.10),
            start=(rng.uniform(-0.2, 1.2), rng.uniform(0.15, 0.95)),
            velocity=rng.choice((-1, 1)) * rng.uniform(0.35, 1.0),
            bounce=rng.uniform(0.0, 0.14),
            rate=rng.uniform(0.5, 1.6),
            spin=rng.uniform(-500, 500),
            colours=(colour_of(rng.integers(0, 256, 3)), colour_of(rng.integers(0, 256, 3))),
            in_front=bool(rng.random() < 0.4),
        )

    def draw(self, image: np.ndarray, seconds: float, offset: tuple[float, float]) -> tuple[tuple[int, int], int]:
        """Draw the ball into `image` (H, W, 3) uint8 RGB in place, and return its centre and radius in pixels."""
        size = image.shape[0]
        x = (self.start[0] + 0.2 + self.velocity * seconds) % 1.4 - 0.2
        y = self.start[1] - self.bounce * abs(sin(2 * pi * self.rate * seconds))
        centre = round((x + offset[0]) * size), round((y + offset[1]) * size)
        radius = max(2, round(self.radius * size))
        turn = self.spin * seconds
        cv2.circle(image, centre, radius, self.colours[0], -1, cv2.LINE_AA)
        for quarter in (0, 180):
            cv2.ellipse(image, centre, (radius, radius), turn, quarter, quarter + 90, self.colours[1], -1, cv2.LINE_AA)
        return centre, radius


@dataclass(frozen=True)
class Lamp:
    """A lamp on the wall that flickers (frame heights, seconds)."""

    centre: tuple[float, float]
    radius: float
    colour: Colour
    flicker: np.ndarray
    per_second: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Lamp:
        """Return a lamp with its own irregular rhythm."""
        return cls(
            centre=(rng.uniform(0.06, 0.94), rng.uniform(0.05, 0.6)),
            radius=rng.uniform(0.035, 0.09),
            colour=colour_of(rng.uniform(150, 256, 3)),
            flicker=np.where(rng.random(64) < 0.5, rng.uniform(0.0, 0.5, 64), rng.uniform(0.6, 1.0, 64)),
            per_second=rng.uniform(5, 16),
        )

    def draw(self, image: np.ndarray, seconds: float, offset: tuple[float, float]) -> None:
        """Draw the lamp into `image` (H, W, 3) uint8 RGB in place, at its brightness at that time."""
        size = image.shape[0]
        light = float(self.flicker[int(seconds * self.per_second) % len(self.flicker)])
        centre = round((self.centre[0] + offset[0]) * size), round((self.centre[1] + offset[1]) * size)
        radius = max(2, round(self.radius * size))
        cv2.circle(image, centre, radius + max(1, size // 100), (28, 28, 30), -1, cv2.LINE_AA)
        cv2.circle(image, centre, radius, colour_of(np.array(self.colour) * (0.12 + 0.88 * light)), -1, cv2.LINE_AA)


@dataclass(frozen=True)
class PasserBy:
    """A person who walks through the picture (frame heights, seconds)."""

    look: Look
    start: float
    ground: float
    velocity: float
    cadence: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> PasserBy:
        """Return a walker from either side who comes again after leaving."""
        return cls(
            look=Look.random(rng),
            start=rng.uniform(-0.3, 1.3),
            ground=rng.uniform(0.78, 0.98),
            velocity=rng.choice((-1, 1)) * rng.uniform(0.22, 0.55),
            cadence=rng.uniform(1.0, 1.9),
        )

    def x(self, seconds: float) -> float:
        """Return the position of the walker, in frame heights from the left edge."""
        return (self.start + 0.3 + self.velocity * seconds) % 1.6 - 0.3


@dataclass(frozen=True)
class Pillar:
    """A pillar in front of everything else, from top to bottom (frame heights)."""

    x: float
    width: float
    colour: Colour

    @classmethod
    def random(cls, rng: np.random.Generator, x: float) -> Pillar:
        """Return a pillar that hides a part of a figure at `x`."""
        return cls(
            x=x + rng.uniform(-0.06, 0.06), width=rng.uniform(0.03, 0.07), colour=colour_of(rng.uniform(40, 200, 3))
        )

    def draw(self, image: np.ndarray, offset: tuple[float, float], ids: np.ndarray | None) -> None:
        """Draw the pillar into `image` in place, and remove what it hides from `ids`."""
        size = image.shape[0]
        left, right = (round((self.x + offset[0] + side * self.width / 2) * size) for side in (-1, 1))
        image[:, max(0, left) : max(0, right)] = self.colour
        if ids is not None:
            ids[:, max(0, left) : max(0, right)] = 0
