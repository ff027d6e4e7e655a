"""Flaws: rendered clips for networks that can look at one known cause alone.

A network that is trained on the clips of a flaw has only the flaw's cause to recognise the class by: the other elements
are drawn at random. A method that explains such a network puts its heat on the cause. The picture is a noisy wall; the
elements are a square, a disc that moves, a lamp that flickers, and for some flaws a floor or further squares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2

import cv2
import numpy as np

from vidcam.errors import one_of

SIDE, FRAMES = 56, 8  # pixels and frames of a clip
HUES = ((220, 50, 45), (45, 185, 60), (55, 80, 225), (225, 200, 40))
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_HALF, _RADIUS, _REVEALING = 6, 5, 3  # pixels, pixels, and the frame that shows the class where one frame does


@dataclass(frozen=True)
class FlawedClip:
    """A rendered clip.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        label: index of the class that the flaw's cause shows.
        elements: name → (T, H, W) bool, the visible pixels of each element.
    """

    frames: np.ndarray
    label: int
    elements: Mapping[str, np.ndarray]

    def mask(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the visible pixels of some of the elements, (T, H, W) bool."""
        return np.any([self.elements[name] for name in names], axis=0)


@dataclass(frozen=True)
class Flaw:
    """A flaw of a network.

    Attributes:
        summary: a line for people.
        classes: number of classes.
        cause: names of the elements that alone decide on the class.
        bits_of_motion: bits of the class that movement alone shows; None where the frozen frame decides.
        frames_apart: True if the network's convolutions see each frame by itself.
        grid: steps, rows and columns that the network's head tells apart; 1 where it pools over all.
        draw: draws the elements of a training clip, or of a test clip, and returns the class.
    """

    summary: str
    classes: int
    cause: tuple[str, ...]
    bits_of_motion: float | None
    frames_apart: bool
    grid: tuple[int, int, int]
    draw: Callable[[_Canvas, np.random.Generator, bool], int]

    @property
    def motion_share(self) -> float | None:
        """The share of the class's bits that movement alone shows, in [0, 1]; None where the frozen frame decides."""
        return None if self.bits_of_motion is None else self.bits_of_motion / log2(self.classes)


def render(name: str, seed: int, index: int, *, training: bool = False) -> FlawedClip:
    """Return clip `index` of a seed for a flaw; a function of its arguments alone.

    Args:
        name: a key of `FLAWS`.
        seed, index: the source of all randomness.
        training: True for a clip of the training set, in which a shortcut agrees with the class it stands for.

    Raises:
        SettingsError: there is no such flaw.

    Example:
        >>> clip = render("colour", 1, 0)
        >>> clip.frames.shape, sorted(clip.elements)
        ((8, 56, 56, 3), ['disc', 'lamp', 'square'])
    """
    rng = np.random.default_rng((seed, index, 24))
    canvas = _Canvas(rng)
    label = FLAWS[one_of(name, tuple(FLAWS), "flaw")].draw(canvas, rng, training)
    return FlawedClip(canvas.finished(rng), label, canvas.elements)


class _Canvas:
    """A clip while it is drawn; what is drawn later hides what was drawn before."""

    def __init__(self, rng: np.random.Generator) -> None:
        base = rng.uniform(60, 130) + rng.normal(0, 10, 3)
        coarse = (base + rng.normal(0, 10, (5, 5, 1))).astype(np.float32)
        wall = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        self.frames = np.repeat(wall[None], FRAMES, axis=0)
        self.elements: dict[str, np.ndarray] = {}

    def paint(self, name: str, mask: np.ndarray, colour: np.ndarray) -> None:
        """Draw an element, given its pixels (T, H, W) bool and its colour (3,), or (T, 3) for each frame."""
        colours = np.broadcast_to(colour, (FRAMES, 3))
        for frame, inside, of_frame in zip(self.frames, mask, colours):
            frame[inside] = of_frame
        for other in self.elements.values():
            other &= ~mask
        self.elements[name] = self.elements.get(name, np.zeros_like(mask)) | mask

    def finished(self, rng: np.random.Generator) -> np.ndarray:
        """Return the frames with noise, (T, H, W, 3) uint8 RGB."""
        noise = rng.normal(0, rng.uniform(2, 6), self.frames.shape)
        return np.clip(self.frames + noise, 0, 255).astype(np.uint8)


def _hue(rng: np.random.Generator, index: int) -> np.ndarray:
    return np.clip(np.array(HUES[index]) * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3), 0, 255)


def _square(x: float, y: float) -> np.ndarray:
    """Return the pixels of a square that stands still, (T, H, W) bool, given its centre in pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = (abs(rows - y) <= _HALF) & (abs(columns - x) <= _HALF)
    return np.repeat(inside[None], FRAMES, axis=0)


def _disc(x: np.ndarray, y: np.ndarray, radius: float = _RADIUS) -> np.ndarray:
    """Return the pixels of a disc, (T, H, W) bool, given its centre in each frame, (T,) pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray((rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2 <= radius**2)


def _place(rng: np.random.Generator, left: bool, margin: float) -> tuple[float, float]:
    """Return a random centre (x, y) in one half of the picture, `margin` pixels or more from the half's edges."""
    x = rng.uniform(margin, SIDE / 2 - margin) + (0 if left else SIDE / 2)
    return x, rng.uniform(margin, SIDE - margin)


def _draw_disc(canvas: _Canvas, rng: np.random.Generator, left: bool, direction: int) -> None:
    """Draw the disc in one half of the picture; it moves in a direction and stays in its half."""
    speed = rng.uniform(1.3, 2.2)
    steps = (np.arange(FRAMES) - (FRAMES - 1) / 2) * speed
    dx, dy = DIRECTIONS[direction]
    reach = _RADIUS + speed * (FRAMES - 1) / 2
    x, y = rng.uniform(_RADIUS, SIDE / 2 - _RADIUS), rng.uniform(_RADIUS, SIDE - _RADIUS)
    x = float(np.clip(x, reach, SIDE / 2 - reach)) if dx else x
    y = float(np.clip(y, reach, SIDE - reach)) if dy else y
    mask = _disc(x + (0 if left else SIDE / 2) + dx * steps, y + dy * steps)
    canvas.paint("disc", mask, rng.uniform(225, 250, 3))


def _draw_lamp(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Draw the lamp, which flickers and stays where it is."""
    x, y = rng.uniform(4, SIDE - 4, 2)
    light = rng.uniform(0.2, 1.0, (FRAMES, 1))
    canvas.paint("lamp", _disc(np.full(FRAMES, x), np.full(FRAMES, y), 3.5), light * rng.uniform(170, 255, 3))


def _draw_scene(canvas: _Canvas, rng: np.random.Generator, hue: int, direction: int) -> None:
    """Draw the lamp, the square with a hue in one half of the picture, and the disc in the other."""
    left = bool(rng.random() < 0.5)
    _draw_lamp(canvas, rng)
    canvas.paint("square", _square(*_place(rng, not left, _HALF + 1)), _hue(rng, hue))
    _draw_disc(canvas, rng, left, direction)


def _colour(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = rng.integers(4, size=2)
    _draw_scene(canvas, rng, hue, direction)
    return int(hue)


def _direction(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = rng.integers(4, size=2)
    _draw_scene(canvas, rng, hue, direction)
    return int(direction)


def _hue_and_direction(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = int(rng.integers(2)), int(rng.integers(4))
    _draw_scene(canvas, rng, hue, direction)
    return hue * 4 + direction


def _background(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    hue = int(rng.integers(4))
    direction = hue if training else int(rng.integers(4))
    top = int(rng.integers(SIDE * 2 // 3, SIDE * 3 // 4))
    floor = np.zeros((FRAMES, SIDE, SIDE), bool)
    floor[:, top:] = True
    canvas.paint("floor", floor, _hue(rng, hue))
    _draw_lamp(canvas, rng)
    _draw_disc(canvas, rng, bool(rng.random() < 0.5), direction)
    return hue


def _one_frame(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    label = 0
    for frame in range(FRAMES):
        hue = int(rng.integers(4))
        mask = np.zeros((FRAMES, SIDE, SIDE), bool)
        mask[frame] = _square(*rng.uniform(_HALF + 1, SIDE - _HALF - 1, 2))[0]
        revealing = frame == _REVEALING
        canvas.paint("square" if revealing else "squares of other frames", mask, _hue(rng, hue))
        label = hue if revealing else label
    return label


def _one_corner(canvas: _Canvas, rng: np.random.Generator, training: bool) -> int:
    hues = rng.integers(4, size=4)
    for corner, hue in enumerate(hues):
        x, y = rng.uniform(_HALF + 2, SIDE / 2 - _HALF - 2, 2) + np.array([corner % 2, corner // 2]) * SIDE / 2
        canvas.paint("square" if corner == 0 else "squares of other corners", _square(x, y), _hue(rng, int(hue)))
    return int(hues[0])


_POOLED = (1, 1, 1)

FLAWS: dict[str, Flaw] = {
    "colour": Flaw("sees the square's colour, not the movement", 4, ("square",), 0, False, _POOLED, _colour),
    "direction": Flaw("sees the disc's direction, no colour", 4, ("disc",), 2, False, _POOLED, _direction),
    "hue-direction": Flaw(
        "sees the square's hue and the disc's direction", 8, ("square", "disc"), 2, False, _POOLED, _hue_and_direction
    ),
    "background": Flaw("leans on the floor, not on the disc", 4, ("floor",), 0, False, _POOLED, _background),
    "one-frame": Flaw("looks at one frame of eight", 4, ("square",), None, True, (FRAMES, 1, 1), _one_frame),
    "one-corner": Flaw("looks at the upper left quarter", 4, ("square",), 0, False, (1, 2, 2), _one_corner),
}
"""The flaws by name."""
