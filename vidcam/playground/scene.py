"""Scenes: the content of a rendered clip, drawn at random from a seed.

Figures with articulated limbs stand before a textured, noisy, panning background. At most one of them
acts at a time, except in a crowd. The others sway, and balls, lamps, passers-by and a shaking camera move as much as
the actor does, so that neither looks nor place nor the amount of motion alone identifies the action.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from vidcam.playground.actions import ACTIONS, LABELS, NOTHING, Pose, sway, walk
from vidcam.playground.distractors import Background, Ball, Lamp, PasserBy, Pillar
from vidcam.playground.figure import Look, draw

FPS = 16
RAMP = 3  # frames in which a figure eases into an action, and out of it


@dataclass(frozen=True)
class Act:
    """One action of one figure.

    Attributes:
        figure: index of the figure.
        label: of the action.
        start, end: its first frame, and the frame after its last.
        period: seconds of one cycle.
        phase: of the first frame, in [0, 1).
        mirrored: True to exchange left and right.
        strength: 1 for the whole action, less for a faint one.
    """

    figure: int
    label: str
    start: int
    end: int
    period: float
    phase: float
    mirrored: bool
    strength: float = 1.0

    def weight(self, frame: int) -> float:
        """Return the weight of the action at a frame: 0 outside, its strength inside, with a smooth start and end."""
        inside = min(frame - self.start + 1, self.end - frame) / RAMP
        return self.strength * float(np.clip(inside, 0, 1))

    def pose(self, frame: int) -> Pose:
        """Return the pose of the action at a frame."""
        cycles = self.phase + (frame - self.start) / FPS / self.period
        pose = ACTIONS[self.label].pose(cycles % 1.0)
        return pose.mirrored() if self.mirrored else pose


@dataclass(frozen=True)
class Figure:
    """A person of the scene: look, position (frame heights) and the rhythm of their swaying (hertz)."""

    look: Look
    x: float
    ground: float
    sway_rate: float
    sway_phase: float
    sway_amount: float

    def idle(self, seconds: float) -> Pose:
        """Return the pose while not acting."""
        return sway(self.sway_phase + self.sway_rate * seconds, self.sway_amount)


@dataclass(frozen=True)
class Scene:
    """A clip before it is rendered: `frames` square pictures at `FPS` frames per second."""

    frames: int
    figures: tuple[Figure, ...]
    acts: tuple[Act, ...]
    passers: tuple[PasserBy, ...]
    balls: tuple[Ball, ...]
    lamps: tuple[Lamp, ...]
    background: Background
    shake: np.ndarray
    noise: float
    noise_seed: int
    gain: float
    pillars: tuple[Pillar, ...] = ()

    @property
    def label(self) -> str:
        """Label of its first action, or `nothing`."""
        return self.acts[0].label if self.acts else NOTHING

    @cached_property
    def _textures(self) -> dict[int, np.ndarray]:
        return {}

    def render(self, frame: int, size: int, ids: np.ndarray | None = None) -> np.ndarray:
        """Return one frame of the clip.

        Args:
            frame: index of the frame.
            size: side of the square picture in pixels.
            ids: (size, size) uint8, filled with 1 + the index of the figure visible at each pixel, 0 for none.

        Returns:
            (size, size, 3) uint8 RGB.
        """
        seconds = frame / FPS
        shake = (float(self.shake[frame, 0]), float(self.shake[frame, 1]))
        image = self._wall(seconds, shake, size)
        for lamp in self.lamps:
            lamp.draw(image, seconds, shake)
        self._roll(image, seconds, shake, ids, in_front=False)
        people = [(f.ground, f.x, f.look, self._pose(i, frame), i + 1) for i, f in enumerate(self.figures)]
        people += [(p.ground, p.x(seconds), p.look, walk(p.cadence * seconds), 0) for p in self.passers]
        for ground, x, look, pose, tag in sorted(people, key=lambda person: person[0]):
            draw(image, pose, look, (x + shake[0], ground + shake[1]), ids=ids, tag=tag)
        self._roll(image, seconds, shake, ids, in_front=True)
        for pillar in self.pillars:
            pillar.draw(image, shake, ids)
        rng = np.random.default_rng((self.noise_seed, frame))
        grain = np.empty((size, size, 3), np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        cv2.randn(grain, 0, self.noise * (size / 112) ** 0.5)  # type: ignore[call-overload]
        return np.clip(image * self.gain + grain, 0, 255).astype(np.uint8)

    def _wall(self, seconds: float, shake: tuple[float, float], size: int) -> np.ndarray:
        if size not in self._textures:
            self._textures[size] = self.background.texture(size)
        margin = Background.MARGIN
        vx, vy = self.background.velocity
        half = self.frames / FPS / 2
        x = (margin - vx * (seconds - half) - shake[0]) * size
        y = (margin - vy * (seconds - half) - shake[1]) * size
        shift = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
        return cv2.warpAffine(self._textures[size], shift, (size, size), borderMode=cv2.BORDER_REFLECT)

    def _roll(
        self, image: np.ndarray, seconds: float, shake: tuple[float, float], ids: np.ndarray | None, *, in_front: bool
    ) -> None:
        for ball in self.balls:
            if ball.in_front is in_front:
                centre, radius = ball.draw(image, seconds, shake)
                if ids is not None:
                    cv2.circle(ids, centre, radius, 0, -1)

    def _pose(self, figure: int, frame: int) -> Pose:
        pose = self.figures[figure].idle(frame / FPS)
        for act in self.acts:
            if act.figure == figure and (weight := act.weight(frame)) > 0:
                rest = pose
                pose = rest.blended(act.pose(frame), weight)
        return pose


def sample_act(rng: np.random.Generator, figure: int, label: str, start: int, end: int) -> Act:
    """Return an action of one figure in the frames [start, end), at a random speed, phase and side."""
    return Act(
        figure=figure,
        label=label,
        start=start,
        end=end,
        period=ACTIONS[label].period * rng.uniform(0.8, 1.25),
        phase=rng.uniform(0, 1),
        mirrored=bool(rng.random() < 0.5),
    )


def sample_scene(
    rng: np.random.Generator, frames: int, intervals: list[tuple[str, int, int]], *, clutter: float = 1.0
) -> Scene:
    """Return a random scene in which the given actions happen.

    Args:
        rng: the source of all randomness.
        frames: length of the clip in frames.
        intervals: (label, first frame, frame after the last) of each action; each is given to a random figure.
        clutter: 1 for all bystanders, distractors and noise; towards 0 they become rare.
    """
    count = 1 + int(rng.binomial(rng.integers(0, 3), clutter))
    slots = (np.arange(count) + 0.5) / count
    figures = tuple(
        Figure(
            look=Look.random(rng),
            x=float(np.clip(slot + rng.uniform(-0.3, 0.3) / count, 0.18, 0.82)),
            ground=rng.uniform(0.80, 0.97),
            sway_rate=rng.uniform(0.25, 0.9),
            sway_phase=rng.uniform(0, 1),
            sway_amount=rng.uniform(0.4, 1.6),
        )
        for slot in rng.permutation(slots)
    )
    acts = tuple(
        sample_act(rng, int(rng.integers(count)), label, start, end)
        for label, start, end in intervals
        if label != NOTHING
    )
    balls = tuple(Ball.random(rng) for _ in range(rng.binomial(rng.integers(0, 3), clutter)))
    lamps = tuple(Lamp.random(rng) for _ in range(rng.binomial(rng.integers(0, 3), clutter)))
    passers = tuple(PasserBy.random(rng) for _ in range(rng.binomial(rng.integers(0, 2), clutter)))
    if not balls and not lamps and rng.random() < clutter:
        lamps = (Lamp.random(rng),)
    shaking = rng.random() < 0.5 * clutter
    walk_ = rng.normal(0, 0.006, (frames, 2)) if shaking else np.zeros((frames, 2))
    shake = cv2.GaussianBlur(walk_, (1, 5), 0) * 1.5 if shaking else walk_
    return Scene(
        frames=frames,
        figures=figures,
        acts=acts,
        passers=passers,
        balls=balls,
        lamps=lamps,
        background=Background.random(rng, frames / FPS, clutter),
        shake=shake,
        noise=rng.uniform(1.0, 1.0 + 8.0 * clutter),
        noise_seed=int(rng.integers(1 << 31)),
        gain=rng.uniform(0.75, 1.15),
    )


def trimmed_scene(seed: int, index: int, frames: int = 16) -> Scene:
    """Return clip `index` of `seed`, in which the action fills every frame; a function of its arguments alone."""
    rng = np.random.default_rng((seed, index, 0))
    label = LABELS[rng.integers(len(LABELS))]
    return sample_scene(rng, frames, [(label, -RAMP, frames + RAMP)])


def untrimmed_scene(seed: int, index: int, frames: int = 96) -> Scene:
    """Return clip `index` of `seed`: idle, one action, idle; a function of its arguments alone."""
    rng = np.random.default_rng((seed, index, 1))
    label = LABELS[rng.integers(len(LABELS))]
    length = int(rng.uniform(0.3, 0.5) * frames)
    start = int(rng.integers(frames // 6, frames - length - frames // 6))
    return sample_scene(rng, frames, [(label, start, start + length)])


def eventful_scene(seed: int, index: int) -> Scene:
    """Return clip `index` of `seed`: 8 to 20 seconds with one to three different actions of 1.5 to 4 seconds.

    The figures are idle between the actions. A function of its arguments alone.
    """
    rng = np.random.default_rng((seed, index, 3))
    labels = rng.choice([label for label in LABELS if label != NOTHING], rng.integers(1, 4), replace=False)
    lengths = rng.integers(round(1.5 * FPS), 4 * FPS, len(labels), endpoint=True)
    idle_least = FPS * (len(labels) + 1)  # a second before, between and after
    least = max(8 * FPS, int(lengths.sum()) + idle_least)
    frames = int(rng.integers(least, 20 * FPS, endpoint=True))
    spare = rng.multinomial(frames - int(lengths.sum()) - idle_least, np.full(len(labels) + 1, 1 / (len(labels) + 1)))
    intervals, at = [], 0
    for label, length, idle in zip(labels, lengths, spare):
        at += FPS + int(idle)
        intervals.append((str(label), at, at + int(length)))
        at += int(length)
    return sample_scene(rng, frames, intervals)


def joined_scenes(seed: int, index: int, frames: int = 48) -> tuple[Scene, Scene]:
    """Return pair `index` of `seed`: two scenes of different actions, each acting throughout.

    A function of its arguments alone.
    """
    rng = np.random.default_rng((seed, index, 4))
    first, second = rng.choice([label for label in LABELS if label != NOTHING], 2, replace=False)
    whole = [(str(label), -RAMP, frames + RAMP) for label in (first, second)]
    return sample_scene(rng, frames, whole[:1]), sample_scene(rng, frames, whole[1:])


def crowd_scene(seed: int, index: int, frames: int = 48) -> Scene:
    """Return clip `index` of `seed`: of three figures, `index` % 3 + 1 perform the same action, each in its own rhythm.

    A function of its arguments alone.
    """
    rng = np.random.default_rng((seed, index, 6))
    label = str(rng.choice([label for label in LABELS if label != NOTHING]))
    scene = sample_scene(rng, frames, [])
    figures = tuple(
        replace(scene.figures[0], look=Look.random(rng), x=x + rng.uniform(-0.04, 0.04), ground=rng.uniform(0.80, 0.97))
        for x in rng.permutation([0.2, 0.5, 0.8])
    )
    acts = tuple(
        sample_act(rng, figure, label, frames // 6, frames - frames // 6) for figure in range(index % len(figures) + 1)
    )
    return replace(scene, figures=figures, acts=acts)


def ranked_crowd_scene(seed: int, index: int, frames: int = 48) -> Scene:
    """Return clip `index` of `seed`: three figures perform the same action, with the strengths 1, 0.55 and 0.25.

    A function of its arguments alone.
    """
    scene = crowd_scene(seed, 3 * index + 2, frames)
    order = np.random.default_rng((seed, index, 8)).permutation([1.0, 0.55, 0.25])
    return replace(scene, acts=tuple(replace(act, strength=float(s)) for act, s in zip(scene.acts, order)))


def hard_scene(seed: int, index: int, frames: int = 64) -> Scene:
    """Return clip `index` of `seed`, which is hard to classify.

    A small figure acts, partly behind a pillar, while a larger one performs another action faintly. A function of its
    arguments alone.
    """
    rng = np.random.default_rng((seed, index, 7))
    label, other = (str(x) for x in rng.choice([label for label in LABELS if label != NOTHING], 2, replace=False))
    scene = sample_scene(rng, frames, [])
    small, large = rng.permutation([0.3, 0.7])
    looks = (replace(Look.random(rng), stature=rng.uniform(0.24, 0.40)), Look.random(rng))
    figures = tuple(
        replace(scene.figures[0], look=look, x=x + rng.uniform(-0.06, 0.06), ground=rng.uniform(0.80, 0.97))
        for look, x in zip(looks, (small, large))
    )
    whole = -RAMP, frames + RAMP
    acts = (
        sample_act(rng, 0, label, *whole),
        replace(sample_act(rng, 1, other, *whole), strength=rng.uniform(0.25, 0.6)),
    )
    pillar = Pillar.random(rng, figures[0].x)
    return replace(scene, figures=figures, acts=acts, pillars=(pillar,) if rng.random() < 0.7 else ())
