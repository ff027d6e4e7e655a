"""Temporal localization on the playground, where start and end of every action are known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.explainer import Explainer
from vidcam.metrics.localization import (
    THUMOS_TIOU,
    Detection,
    Truth,
    average_recall,
    boundary_errors,
    hit_rate,
    mean_average_precision,
)
from vidcam.models.registry import Model
from vidcam.playground.clips import SIZE
from vidcam.playground.scene import FPS, Scene, eventful_scene, joined_scenes
from vidcam.recipe import Recipe
from vidcam.results.localization import CURVES, CurveName, Localization
from vidcam.temporal.segments import SegmentParams
from vidcam.video.writer import FilmWriter

METHODS = ("gradcam++", "gradcam")


@dataclass(frozen=True)
class LocalizedClip:
    """A rendered clip with its localizations.

    Attributes:
        truths: its actions.
        found: method → localization.
    """

    truths: tuple[Truth, ...]
    found: dict[str, Localization]


def localized_clips(
    model: Model, seed: int, count: int, progress: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[LocalizedClip]:
    """Render the eventful clips of a seed one after the other, and yield each with its localization by both methods.

    Args:
        model: the network.
        seed: of the clips.
        count: number of clips.
        progress: called with the number of clips done and the number of all.
    """
    explainer = _explainer(model)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            path = Path(folder) / f"{seed}-{index:04d}.mp4"
            scene = eventful_scene(seed, index)
            _film([scene], path)
            found = explainer.localize(path)
            path.unlink()
            yield LocalizedClip(truths_of(scene, path.stem), {f.method: f for f in found})
            progress(index + 1, count)


def _explainer(model: Model) -> Explainer:
    return Explainer(model, Recipe(method=",".join(METHODS)))


def _film(scenes: Sequence[Scene], path: Path) -> None:
    """Render scenes one after the other into one MP4, without a sidecar."""
    frames = ((scene, t) for scene in scenes for t in range(scene.frames))
    with FilmWriter(path, (SIZE, SIZE), time_base=Fraction(1, FPS), frame_rate=Fraction(FPS)) as film:
        for index, (scene, t) in enumerate(frames):
            film.write(scene.render(t, SIZE), index)


def truths_of(scene: Scene, video: str) -> tuple[Truth, ...]:
    """Return the actions of a scene, in seconds."""
    return tuple(Truth(video, act.label, act.start / FPS, act.end / FPS) for act in scene.acts)


def temporal_table(clips: list[LocalizedClip], params: SegmentParams = SegmentParams()) -> dict[str, dict[str, Any]]:
    """Return the measures of every curve by every method; those of "gradcam++ combined" also under "default".

    mAP at tIoU 0.1 to 0.7, its mean over 0.3 to 0.7, recall of the ten best proposals, share of the classes' highest
    points that lie in an action of the class, and the median of |start error| and |end error| in frames.

    Args:
        clips: with their localizations.
        params: how curves are cut into segments.
    """
    rows = {f"{method} {curve}": _measures(clips, method, curve, params) for method in METHODS for curve in CURVES}
    return {"default": rows["gradcam++ combined"], **rows}


def _measures(clips: list[LocalizedClip], method: str, curve: CurveName, params: SegmentParams) -> dict[str, Any]:
    truths = [truth for clip in clips for truth in clip.truths]
    detections, peaks = [], []
    for clip in clips:
        found = clip.found[method]
        video = Path(found.clip).stem
        detections += [Detection(video, s.label, s.start, s.end, s.score) for s in found.cut(curve, params)]
        happening = {t.label for t in clip.truths}
        for label, values in zip(found.labels, found.curves(curve)):
            if label in happening:
                peaks.append((video, label, float(found.times[values.argmax()])))
    precision = mean_average_precision(truths, detections, THUMOS_TIOU)
    errors = boundary_errors(truths, detections)
    return {
        "mAP": {f"{t:.1f}": float(value) for t, value in zip(THUMOS_TIOU, precision.mean)},
        "average_mAP": float(precision.mean[2:].mean()),
        "average_recall": average_recall(truths, detections, 10),
        "hit_rate": hit_rate(truths, peaks),
        "onset_error_frames": float(np.median(np.abs(errors.onset)) * FPS) if len(errors.onset) else None,
        "offset_error_frames": float(np.median(np.abs(errors.offset)) * FPS) if len(errors.offset) else None,
        "found": errors.found,
    }


def two_clip_test(
    model: Model, seed: int, count: int, progress: Callable[[int, int], None] = lambda done, of: None
) -> dict[str, float]:
    """Return how often the strongest frame for a class lies in its half of two joined clips of different classes.

    The test of Li et al. 2021 (arXiv 2109.00222), for every curve by every method: share of hits over 2 x `count`.

    Args:
        model: the network.
        seed: of the clips.
        count: number of pairs of clips.
        progress: called with the number of pairs done and the number of all.
    """
    explainer = _explainer(model)
    hits: dict[str, list[bool]] = {f"{method} {curve}": [] for method in METHODS for curve in CURVES}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            halves = joined_scenes(seed, index)
            path = Path(folder) / "joined.mp4"
            _film(halves, path)
            boundary = halves[0].frames / FPS
            for found in explainer.localize(path, [scene.label for scene in halves]):
                for curve in CURVES:
                    for label, values in zip(found.labels, found.curves(curve)):
                        second = found.times[values.argmax()] >= boundary
                        hits[f"{found.method} {curve}"].append(bool(second) == (label == halves[1].label))
            progress(index + 1, count)
    return {name: float(np.mean(values)) for name, values in hits.items()}
