"""Flaws: rendered clips for networks that can look at one known cause alone.

A network that is trained on the clips of a flaw has only the flaw's cause to recognise the class by: the other elements
are drawn at random. A method that explains such a network puts its heat on the cause. The picture is a noisy wall; the
elements are a square, a disc that moves, a lamp that flickers, and for some flaws a floor or further squares.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import log2

import numpy as np

from vidcam.errors import one_of
from vidcam.playground.canvas import FRAMES, HALF, SIDE, Canvas, draw_disc, draw_lamp, hue_colour, place, square

_REVEALING = 3  # the frame that shows the class where one frame does


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
    draw: Callable[[Canvas, np.random.Generator, bool], int]

    def render(self, seed: int, index: int, *, training: bool = False, without: Collection[str] = ()) -> FlawedClip:
        """Return clip `index` of a seed; a function of its arguments alone.

        Args:
            seed, index: the source of all randomness.
            training: True for a clip of the training set, in which a shortcut agrees with the class it stands for.
            without: names of elements that are not drawn; all else stays as it is, to the pixel.
        """
        rng = np.random.default_rng((seed, index, 24))
        canvas = Canvas(rng, without)
        label = self.draw(canvas, rng, training)
        return FlawedClip(canvas.finished(rng), label, canvas.elements)

    @property
    def motion_share(self) -> float | None:
        """The share of the class's bits that movement alone shows, in [0, 1]; None where the frozen frame decides."""
        return None if self.bits_of_motion is None else self.bits_of_motion / log2(self.classes)


def render(name: str, seed: int, index: int, *, training: bool = False) -> FlawedClip:
    """Return clip `index` of a seed for a flaw by name, see `Flaw.render`.

    Raises:
        SettingsError: there is no such flaw.

    Example:
        >>> clip = render("colour", 1, 0)
        >>> clip.frames.shape, sorted(clip.elements)
        ((8, 56, 56, 3), ['disc', 'lamp', 'square'])
    """
    return FLAWS[one_of(name, tuple(FLAWS), "flaw")].render(seed, index, training=training)


def _draw_scene(canvas: Canvas, rng: np.random.Generator, hue: int, direction: int) -> None:
    """Draw the lamp, the square with a hue in one half of the picture, and the disc in the other."""
    left = bool(rng.random() < 0.5)
    draw_lamp(canvas, rng)
    canvas.paint("square", square(*place(rng, not left, HALF + 1)), hue_colour(rng, hue))
    draw_disc(canvas, rng, left, direction)


def _colour(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = rng.integers(4, size=2)
    _draw_scene(canvas, rng, hue, direction)
    return int(hue)


def _direction(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = rng.integers(4, size=2)
    _draw_scene(canvas, rng, hue, direction)
    return int(direction)


def _hue_and_direction(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    hue, direction = int(rng.integers(2)), int(rng.integers(4))
    _draw_scene(canvas, rng, hue, direction)
    return hue * 4 + direction


def _background(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    hue = int(rng.integers(4))
    direction = hue if training else int(rng.integers(4))
    top = int(rng.integers(SIDE * 2 // 3, SIDE * 3 // 4))
    floor = np.zeros((FRAMES, SIDE, SIDE), bool)
    floor[:, top:] = True
    canvas.paint("floor", floor, hue_colour(rng, hue))
    draw_lamp(canvas, rng)
    draw_disc(canvas, rng, bool(rng.random() < 0.5), direction)
    return hue


def _one_frame(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    label = 0
    for frame in range(FRAMES):
        hue = int(rng.integers(4))
        mask = np.zeros((FRAMES, SIDE, SIDE), bool)
        mask[frame] = square(*rng.uniform(HALF + 1, SIDE - HALF - 1, 2))[0]
        revealing = frame == _REVEALING
        canvas.paint("square" if revealing else "squares of other frames", mask, hue_colour(rng, hue))
        label = hue if revealing else label
    return label


def _one_corner(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    hues = rng.integers(4, size=4)
    for corner, hue in enumerate(hues):
        x, y = rng.uniform(HALF + 2, SIDE / 2 - HALF - 2, 2) + np.array([corner % 2, corner // 2]) * SIDE / 2
        canvas.paint("square" if corner == 0 else "squares of other corners", square(x, y), hue_colour(rng, int(hue)))
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
