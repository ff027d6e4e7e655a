"""An articulated figure: from a pose to limbs on an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np

from vidcam.playground.actions import Pose

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Lengths in statures, after the usual proportions of an adult.
_HEAD, _NECK, _TORSO = 0.075, 0.035, 0.30
_SHOULDER, _HIP = 0.095, 0.055
_UPPER_ARM, _FOREARM = 0.165, 0.155
_THIGH, _SHIN = 0.245, 0.245

_SHIFT = 4  # cv2 takes fixed-point coordinates: 4 bits below the pixel


@dataclass(frozen=True)
class Look:
    """Appearance of a figure: stature in frame heights, build (limb thickness in statures), RGB colours."""

    stature: float
    build: float
    skin: Colour
    shirt: Colour
    trousers: Colour

    @classmethod
    def random(cls, rng: np.random.Generator) -> Look:
        """Return a random look."""
        skin = np.array([232, 190, 160]) * rng.uniform(0.35, 1.05)
        return cls(
            stature=rng.uniform(0.40, 0.62),
            build=rng.uniform(0.055, 0.08),
            skin=colour_of(skin),
            shirt=colour_of(rng.integers(10, 246, 3)),
            trousers=colour_of(rng.integers(10, 246, 3)),
        )


def colour_of(values: np.ndarray) -> Colour:
    """Return levels of red, green and blue as integers in 0..255."""
    r, g, b = (int(v) for v in np.clip(values, 0, 255))
    return r, g, b


def _dark(colour: Colour) -> Colour:
    return colour_of(np.array(colour) * 0.55)


def _along(start: Point, angle: float, length: float, side: int = 1) -> Point:
    """Return the end of a limb that leaves `start` at `angle` from straight down, outward on `side`."""
    a = radians(angle)
    return start[0] + side * length * sin(a), start[1] + length * cos(a)


def limbs(pose: Pose, look: Look, feet: Point) -> list[tuple[Point, Point, float, Colour]]:
    """Return the parts of a figure from back to front: (start, end, thickness, colour).

    Points and thickness are in frame heights. A head is a part whose ends coincide.

    Args:
        pose: of the figure.
        look: of the figure.
        feet: position of the figure at rest, in frame heights.
    """
    legs: list[tuple[int, float, float]] = [
        (-1, pose.left_hip, pose.left_knee),
        (1, pose.right_hip, pose.right_knee),
    ]
    arms: list[tuple[int, float, float]] = [
        (-1, pose.left_shoulder, pose.left_elbow),
        (1, pose.right_shoulder, pose.right_elbow),
    ]
    reach = max(_THIGH * cos(radians(hip)) + _SHIN * cos(radians(hip + knee)) for _, hip, knee in legs)
    pelvis = (pose.dx, -reach - pose.hop)
    up = radians(pose.lean)
    along, across = (sin(up), -cos(up)), (cos(up), sin(up))
    chest = (pelvis[0] + _TORSO * along[0], pelvis[1] + _TORSO * along[1])
    head_at = _TORSO + _NECK + _HEAD
    head = (pelvis[0] + head_at * along[0], pelvis[1] + head_at * along[1])

    parts: list[tuple[Point, Point, float, Colour]] = []
    for side, hip, knee in legs:
        top = (pelvis[0] + side * _HIP * across[0], pelvis[1] + side * _HIP * across[1])
        middle = _along(top, hip, _THIGH, side)
        foot = _along(middle, hip + knee, _SHIN, side)
        parts += [(top, middle, look.build * 1.15, look.trousers), (middle, foot, look.build, look.trousers)]
    low = (pelvis[0] - 0.02 * along[0], pelvis[1] - 0.02 * along[1])
    parts.append((low, chest, look.build * 2.3, look.shirt))
    parts.append((head, head, 2 * _HEAD, look.skin))
    for side, shoulder, elbow in arms:
        top = (chest[0] + side * _SHOULDER * across[0], chest[1] + side * _SHOULDER * across[1])
        middle = _along(top, shoulder, _UPPER_ARM, side)
        hand = _along(middle, shoulder + elbow, _FOREARM, side)
        parts += [(top, middle, look.build, look.shirt), (middle, hand, look.build * 0.85, look.skin)]

    def placed(point: Point) -> Point:
        return feet[0] + look.stature * point[0], feet[1] + look.stature * point[1]

    return [(placed(a), placed(b), look.stature * width, colour) for a, b, width, colour in parts]


def draw(
    image: np.ndarray, pose: Pose, look: Look, feet: Point, *, ids: np.ndarray | None = None, tag: int = 0
) -> None:
    """Draw a figure into `image` (H, W, 3) uint8 RGB and, if given, its `tag` into `ids` (H, W) uint8, in place."""
    scale = image.shape[0]

    def fixed(point: Point) -> tuple[int, int]:
        return round(point[0] * scale * (1 << _SHIFT)), round(point[1] * scale * (1 << _SHIFT))

    for start, end, width, colour in limbs(pose, look, feet):
        thickness = max(1, round(width * scale))
        edge = thickness + max(1, round(scale / 112))
        a, b = fixed(start), fixed(end)
        cv2.line(image, a, b, _dark(colour), edge, cv2.LINE_AA, _SHIFT)
        cv2.line(image, a, b, colour, thickness, cv2.LINE_AA, _SHIFT)
        if ids is not None:
            cv2.line(ids, a, b, tag, edge, cv2.LINE_8, _SHIFT)
