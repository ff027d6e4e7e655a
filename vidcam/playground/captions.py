"""Captioned scenes: the sentence names who acts, their look and place, the action and its count.

Two or three figures stand apart from each other; one of them performs an action a whole number of times. A sentence is

    the tall red figure on the left waves twice while the others stand

and the property that each of its words names is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vidcam.playground.actions import ACTIONS
from vidcam.playground.figure import Look, colour_of
from vidcam.playground.scene import FPS, Act, Figure, Scene, sample_scene

FRAMES = 48
"""Frames of a captioned scene, 3 seconds."""

COLOURS = {
    "red": (200, 45, 40),
    "green": (50, 150, 60),
    "blue": (50, 80, 200),
    "yellow": (225, 200, 50),
    "white": (235, 235, 235),
    "black": (25, 25, 28),
}
SIZES = {"tall": (0.54, 0.64), "short": (0.34, 0.42)}
PLACES = {"left": 0.2, "middle": 0.5, "right": 0.8}
VERBS = {
    "bowing": "bows",
    "clapping": "claps",
    "jumping": "jumps",
    "jumping jack": "star-jumps",
    "kicking": "kicks",
    "punching": "punches",
    "side-stepping": "side-steps",
    "squatting": "squats",
    "waving": "waves",
    "windmill": "windmills",
}
COUNTS = (("once",), ("twice",), ("three", "times"))
_REST = ("the", "figure", "in", "on", "while", "other", "others", "stands", "stand")
END = "."
WORDS: tuple[str, ...] = tuple(
    sorted({END, *_REST, *COLOURS, *SIZES, *PLACES, *VERBS.values(), *(w for count in COUNTS for w in count)})
)
"""All words of the sentences, and the full stop."""

_LEAST_PERIOD = 0.85  # seconds; quicker than that, times are hard to count
_TIMES_PER_CYCLE = {"punching": 2}
_ROOM = 4  # frames of the scene that no action fills


@dataclass(frozen=True)
class CaptionedScene:
    """A scene and its sentence.

    Attributes:
        scene: of `FRAMES` frames.
        words: the sentence, without its full stop.
        about: the property that each word names: "size", "colour", "place", "action" or "count", or "" for none.
    """

    scene: Scene
    words: tuple[str, ...]
    about: tuple[str, ...]

    @property
    def act(self) -> Act:
        """The action of the scene: its figure, first and last frame."""
        return self.scene.acts[0]


def captioned_scene(seed: int, index: int, clutter: float = 1.0) -> CaptionedScene:
    """Return scene `index` of `seed` and its sentence; a function of its arguments alone.

    Args:
        seed, index: of the scene.
        clutter: 1 for all distractors; towards 0 they become rare.
    """
    rng = np.random.default_rng((seed, index, 5))
    count = int(rng.integers(2, 4))
    places = [str(p) for p in rng.permutation(list(PLACES))[:count]]
    colours = [str(c) for c in rng.permutation(list(COLOURS))[:count]]
    sizes = [str(s) for s in rng.choice(list(SIZES), count)]
    figures = tuple(_figure(rng, *looks) for looks in zip(places, colours, sizes))
    act, times = _act(rng)
    bare = sample_scene(rng, FRAMES, [], clutter=clutter)
    tagged = [
        ("the", ""),
        (sizes[0], "size"),
        (colours[0], "colour"),
        ("figure", ""),
        ("in" if places[0] == "middle" else "on", ""),
        ("the", ""),
        (places[0], "place"),
        (VERBS[act.label], "action"),
        *((word, "count") for word in COUNTS[times - 1]),
        *(
            (word, "")
            for word in (("while", "the", "other", "stands") if count == 2 else ("while", "the", "others", "stand"))
        ),
    ]
    words, about = zip(*tagged)
    return CaptionedScene(replace(bare, figures=figures, acts=(act,), passers=()), words, about)


def _figure(rng: np.random.Generator, place: str, colour: str, size: str) -> Figure:
    look = replace(
        Look.random(rng),
        stature=rng.uniform(*SIZES[size]),
        shirt=colour_of(np.array(COLOURS[colour]) + rng.normal(0, 10, 3)),
        trousers=colour_of(0.85 * np.array(COLOURS[colour]) + rng.normal(0, 10, 3)),
    )
    return Figure(
        look=look,
        x=PLACES[place] + rng.uniform(-0.04, 0.04),
        ground=rng.uniform(0.82, 0.97),
        sway_rate=rng.uniform(0.25, 0.9),
        sway_phase=rng.uniform(0, 1),
        sway_amount=rng.uniform(0.4, 1.2),
    )


def _act(rng: np.random.Generator) -> tuple[Act, int]:
    """Return an action of the first figure, and its number of repetitions."""
    label = str(rng.choice(list(VERBS)))
    once = max(_LEAST_PERIOD, ACTIONS[label].period / _TIMES_PER_CYCLE.get(label, 1)) * rng.uniform(0.95, 1.15)
    most = int((FRAMES - _ROOM) / FPS / once)
    times = int(rng.integers(1, min(most, len(COUNTS)) + 1))
    length = round(times * once * FPS)
    start = int(rng.integers(_ROOM // 2, FRAMES - _ROOM // 2 - length + 1))
    period = once * _TIMES_PER_CYCLE.get(label, 1)
    return Act(0, label, start, start + length, period, 0.0, bool(rng.random() < 0.5)), times
