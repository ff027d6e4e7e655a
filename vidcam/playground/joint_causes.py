"""Joint causes: small clips whose class is shown by several elements together, with others beside them.

`Flaw.render` draws a clip again without some of its elements, so that the true effect of each, or of each set of them, on
a network that was trained on such clips can be measured.
"""

from __future__ import annotations

import numpy as np

from vidcam.playground.actions import ACTIONS, Pose, sway
from vidcam.playground.canvas import FRAMES, HALF, SIDE, Canvas, disc, draw_disc, draw_lamp, hue_colour, place, square
from vidcam.playground.figure import Look, draw
from vidcam.playground.flaws import FLAWS, Flaw

_BALL = 3.0  # radius in pixels
_CONTACT = 4  # frame in which a foot reaches the ball
_AGREES, _SHOWN = 0.55, 0.7  # shares of training clips: with a floor made to agree (others are random), with a disc


def _kicked_ball(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    """Draw a figure, a ball, a bystander and the lamp, and return the class: 1 if the figure kicks and the ball flies off its foot.

    Clips of class 0 are for training alone: the figure kicks without a ball, or beside a ball that rests; or it stands beside
    a ball that flies or rests, or without one.
    """
    label = int(rng.integers(2)) if training else 1
    kicks, there, flies = (True, True, True) if label else _OTHERWISE[rng.integers(len(_OTHERWISE))]
    side = 1 if rng.random() < 0.5 else -1
    x, ground, stature = 0.5 - side * rng.uniform(0.05, 0.14), rng.uniform(0.82, 0.94), rng.uniform(0.6, 0.75)
    foot = x + side * 0.22 * stature
    speed, rise = rng.uniform(0.05, 0.08), rng.uniform(0.0, 0.03)
    flown = np.maximum(0, np.arange(FRAMES) - _CONTACT) if flies else np.zeros(FRAMES)
    phases = 0.78 + 0.07 * np.arange(FRAMES) + rng.uniform(-0.03, 0.03)
    idle, period = rng.uniform(), rng.uniform(0.04, 0.08)
    draw_lamp(canvas, rng)
    far = 0.12 if side > 0 else 0.88
    _draw_figure(
        canvas, rng, "bystander", far, ground, stature * 0.8, [sway(idle + period * t, 1.5) for t in range(FRAMES)]
    )
    poses = [
        ACTIONS["kicking"].pose(p % 1.0) if kicks else sway(idle + 0.5 + period * t, 1.5) for t, p in enumerate(phases)
    ]
    _draw_figure(canvas, rng, "figure", x, ground, stature, [p if side > 0 else p.mirrored() for p in poses])
    colour = rng.uniform(225, 255, 3)
    if there:
        ball = disc((foot + side * speed * flown) * SIDE, (ground - rise * flown) * SIDE - _BALL, _BALL)
        canvas.paint("ball", ball, colour)
    return label


_OTHERWISE = (  # the figure kicks, the ball is there, it flies
    (True, False, False),
    (True, False, False),
    (True, True, False),
    (False, True, True),
    (False, True, True),
    (False, True, False),
    (False, False, False),
)


def _draw_figure(
    canvas: Canvas, rng: np.random.Generator, name: str, x: float, ground: float, stature: float, poses: list[Pose]
) -> None:
    """Draw a figure with its feet at (x, ground) and a stature in frame heights, in a pose for each frame."""
    look = Look.random(rng)
    look = Look(stature, look.build, look.skin, look.shirt, look.trousers)
    colours, ids = np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8), np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for image, drawn, pose in zip(colours, ids, poses):
        draw(image, pose, look, (x, ground), ids=drawn, tag=1)
    canvas.paint(name, ids == 1, colours)


def _leaning(canvas: Canvas, rng: np.random.Generator, training: bool) -> int:
    """Draw a floor, the lamp, a square and the disc, and return the class: the direction of the disc.

    In most clips of training the floor's hue agrees with the class, and some of them have no disc.
    """
    label = int(rng.integers(4))
    agrees, shown = rng.random() < _AGREES, rng.random() < _SHOWN
    hue = label if training and agrees else int(rng.integers(4))
    floor = np.zeros((FRAMES, SIDE, SIDE), bool)
    floor[:, int(rng.integers(SIDE * 2 // 3, SIDE * 3 // 4)) :] = True
    canvas.paint("floor", floor, hue_colour(rng, hue))
    draw_lamp(canvas, rng)
    left = bool(rng.random() < 0.5)
    canvas.paint("square", square(*place(rng, not left, HALF + 1)), hue_colour(rng, int(rng.integers(4))))
    if shown or not training:
        draw_disc(canvas, rng, left, label)
    return label


_POOLED = (1, 1, 1)

JOINT_CAUSES: dict[str, Flaw] = {
    "hue-direction": FLAWS["hue-direction"],
    "kicked-ball": Flaw(
        "sees a kick if a ball flies off the foot", 2, ("figure", "ball"), None, False, _POOLED, _kicked_ball
    ),
    "leaning": Flaw(
        "sees the disc's direction and leans on the floor", 4, ("disc", "floor"), None, False, _POOLED, _leaning
    ),
}
"""The kinds of clips by name: evidence shared by two elements, an object that must be there, a cue in the background."""
