"""Causes: the true effect of each part of a rendered clip, by rendering it without that part, beside what maps say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from vidcam.cam.shapley import shapley_values
from vidcam.engine.agreement import correlation
from vidcam.engine.attribution import step_probabilities
from vidcam.errors import SettingsError
from vidcam.evaluation.inference import Subject, outputs, pixels, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.metrics.baselines import motion
from vidcam.metrics.estimate import Estimate, Tally
from vidcam.metrics.sanity import rank_correlation
from vidcam.playground.actions import NOTHING
from vidcam.playground.clips import SIZE
from vidcam.playground.interventions import idle_between, twins, with_acts
from vidcam.playground.scene import FPS, Scene, ranked_crowd_scene, trimmed_scene, untrimmed_scene
from vidcam.temporal.curves import evidence_curve
from vidcam.video.windows import sliding_windows

STRETCHES = 8
"""Number of stretches of a clip in which the actor is idled, one at a time."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Value:
    """The class of a clip, as the network sees it: means over its windows.

    Attributes:
        logit: the score before softmax.
        log_odds: log p / (1 - p).
        probability: p.
    """

    logit: float
    log_odds: float
    probability: float

    def less(self, other: Value) -> dict[str, float]:
        """Return by how much each falls from this value to another, and the size of the probability's change."""
        fall = self.probability - other.probability
        return {
            "logit": self.logit - other.logit,
            "log odds": self.log_odds - other.log_odds,
            "probability": fall,
            "probability, size": abs(fall),
        }


def value(subject: Subject, frames: np.ndarray, target: int) -> Value:
    """Return the value of a class in frames (F, H, W, 3) uint8, resized and cropped for the network."""
    model = subject.exact.model
    cut = sliding_windows(frames, subject.exact.windowing(float(FPS)))
    windows = torch.stack([pixels(np.stack(window.frames)) for window in cut])
    logits, probabilities = [], []
    with torch.inference_mode():
        for output in outputs(model, windows):
            scores = model.spec.frame_scores(output).float()
            logits += model.spec.class_scores(output)[:, target].float().tolist()
            probabilities += step_probabilities(model.spec, scores).amax(1)[:, target].tolist()
    p = np.clip(np.array(probabilities, np.float64), 1e-7, 1 - 1e-7)
    return Value(float(np.mean(logits)), float(np.mean(np.log(p / (1 - p)))), float(np.mean(p)))


def rendered(scene: Scene, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of a scene as the network sees them, (F, H, W, 3) uint8, and the visible figure, (F, H, W).

    A figure is 1 plus its index, 0 where there is none.
    """
    frames, figures = [], []
    for at in range(scene.frames):
        ids = np.zeros((SIZE, SIZE), np.uint8)
        frames.append(subject.preprocess.frame(scene.render(at, SIZE, ids)))
        height, width = frames[-1].shape[:2]
        figures.append(ids[(np.arange(height) * SIZE // height)[:, None], np.arange(width) * SIZE // width])
    return np.stack(frames), np.stack(figures)


def effects(
    subject: Subject, seed: int, count: int, progress: Progress = lambda done, of: None
) -> list[dict[str, Any]]:
    """Return the effect of each kind of twin on the value of a clip's action, in clips that the action fills.

    Args:
        subject: the network.
        seed: of the clips.
        count: number of clips with an action, of three seconds.
        progress: called with the number of clips done and of all.

    Returns:
        For each clip kind of twin → fall of each value, see `Value.less`; of several balls, say, the mean. Clips
        without a ball have none.
    """
    found = []
    for done, scene in enumerate(_acting(lambda index: trimmed_scene(seed, index, 3 * FPS), count), 1):
        target = _target(subject, scene)
        whole = value(subject, rendered(scene, subject)[0], target)
        falls: dict[str, list[dict[str, float]]] = {}
        for name, twin in twins(scene, seed).items():
            kind = "".join(c for c in name if not c.isdigit()).replace("  ", " ")
            falls.setdefault(kind, []).append(whole.less(value(subject, rendered(twin, subject)[0], target)))
        found.append({kind: {figure: float(np.mean([fall[figure] for fall in some])) for figure in some[0]}
                      for kind, some in falls.items()})  # fmt: skip
        progress(done, count)
    return found


def crowds(subject: Subject, seed: int, count: int, progress: Progress = lambda done, of: None) -> list[dict[str, Any]]:
    """Return how the heat on each of three actors of one action ranks them, beside their true effects.

    An actor's true effect is their Shapley value: the logit of the action when each subset of the three acts, the
    others idle (eight renderings).

    Returns:
        For each clip "shapley", the actors' effects, and method or baseline → "sum" or "mean" → Spearman's correlation
        of the heat on the actors' visible pixels, summed or averaged, with the effects.
    """
    found = []
    for index in range(count):
        scene = ranked_crowd_scene(seed, index)
        target = _target(subject, scene)
        frames, figures = rendered(scene, subject)
        subsets = [[i for i in range(3) if s >> i & 1] for s in range(7)]  # and all of them, which are the scene
        parts = [rendered(with_acts(scene, subset), subject)[0] for subset in subsets]
        values = [value(subject, part, target).logit for part in [*parts, frames]]
        shares = shapley_values(np.array(values))
        act = scene.acts[0]
        acting = np.zeros(len(frames), bool)
        acting[act.start : act.end] = True
        masks = [(figures == a.figure + 1) & acting[:, None, None] for a in scene.acts]
        explained = subject.clip_explanations(Sample(f"{seed}-{index:04d}", frames, FPS, scene.label), target)
        heats = {name: upsampled(e.maps, *frames.shape[1:3]).numpy() for name, e in explained.items()}
        heats |= {"motion": motion(frames), "size": np.ones(frames.shape[:3], np.float32)}
        ranks: dict[str, Any] = {"shapley": shares.tolist()}
        for name, heat in heats.items():
            sums = np.array([heat[mask].sum() for mask in masks])
            areas = np.array([max(1, mask.sum()) for mask in masks])
            ranks[name] = {"sum": rank_correlation(sums, shares), "mean": rank_correlation(sums / areas, shares)}
        found.append(ranks)
        progress(index + 1, count)
    return found


def stretches(
    subject: Subject, seed: int, count: int, progress: Progress = lambda done, of: None
) -> list[dict[str, Any]]:
    """Return how curves over time follow the true drop when the actor idles in one of eight stretches of the clip.

    Returns:
        For each clip method → "time" → Pearson's correlation of its evidence curve, averaged in each stretch, with the
        fall of the action's probability; "score" is the curve of the windows' probability, "motion" that of motion energy.
    """
    found = []
    for done, scene in enumerate(_acting(partial(untrimmed_scene, seed), count), 1):
        target = _target(subject, scene)
        frames, _ = rendered(scene, subject)
        whole = value(subject, frames, target).probability
        edges = np.linspace(0, scene.frames, STRETCHES + 1).astype(int)
        spans = list(zip(edges[:-1].tolist(), edges[1:].tolist()))
        drops = np.array([whole - value(subject, rendered(idle_between(scene, *span), subject)[0], target).probability
                          for span in spans])  # fmt: skip
        explained = subject.clip_explanations(Sample(str(done), frames, FPS, scene.label), target)
        curves = {name: evidence_curve(e.maps) for name, e in explained.items()}
        curves["score"] = next(iter(explained.values())).scores
        curves["motion"] = motion(frames).mean((1, 2))
        found.append(
            {
                name: {"time": correlation(np.array([curve[a:b].mean() for a, b in spans]), drops)}
                for name, curve in curves.items()
            }
        )
        progress(done, count)
    return found


def _target(subject: Subject, scene: Scene) -> int:
    if scene.label not in subject.labels:
        raise SettingsError(
            f"{subject.exact.model.spec.name} has no class {scene.label!r}; give a network of the playground's actions"
        )
    return subject.labels.index(scene.label)


def _acting(scene_of: Callable[[int], Scene], count: int) -> Iterator[Scene]:
    """Yield the first `count` scenes, by index, that have an action."""
    index = 0
    while count:
        scene = scene_of(index)
        index += 1
        if scene.label != NOTHING:
            count -= 1
            yield scene


def averaged(clips: list[dict[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Return the means over clips with 95 % bootstrap intervals: row → figure → its mean over the clips that have the row."""
    tallies: dict[str, Tally] = {}
    for clip in clips:
        for row, figures in clip.items():
            if isinstance(figures, Mapping):
                tallies.setdefault(row, Tally()).update(figures)
    return {row: tally.compute() for row, tally in tallies.items()}
