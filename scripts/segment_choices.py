"""What the defaults of localization were chosen by: rendered clips of the seed the bundled networks were trained on.

    python scripts/segment_choices.py [--count 60] [--short]

Prints mAP, averaged over tIoU 0.5:0.05:0.95 and at three thresholds, and the boundary errors in frames, for strides, target layers,
methods, reductions, weights of a window and parameters of cutting, one changed at a time. `--short` takes clips with three
actions of 6 to 14 frames, shorter than a window, in place of the playground's 24 to 64 frames. "ideal" rows replace the
network by one that knows how much of each window is action: what windows alone cost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
from rich.progress import track

from vidcam.engine.attribution import Attributor, Key
from vidcam.engine.loader import batches
from vidcam.evaluation.temporal import truths_of
from vidcam.metrics.localization import (
    ACTIVITYNET_TIOU,
    THUMOS_TIOU,
    Detection,
    Truth,
    boundary_errors,
    mean_average_precision,
    tiou,
)
from vidcam.models.registry import Model, load_model
from vidcam.playground.actions import LABELS, NOTHING
from vidcam.playground.scene import FPS, Scene, eventful_scene, sample_scene
from vidcam.temporal import stitch as stitching
from vidcam.temporal.curves import combined_curve, evidence_curve
from vidcam.temporal.segments import SegmentParams, segments_of
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import Windowing, sliding_windows

TRAINING_SEED = 0
FINEST = 2
LAYERS = ("layer1", "layer2", "layer3")
METHODS = ("gradcam++", "gradcam")
REDUCTIONS = ("mean", "max", "top")
WEIGHTS: dict[str, Callable[[int], np.ndarray]] = {
    "flat": np.ones,
    "triangle": stitching.window_weights,
    "Hann": lambda span: np.sin(np.pi * (np.arange(span) + 0.5) / span) ** 2,
    "middle": lambda span: np.exp(-0.5 * ((np.arange(span) + 0.5 - span / 2) / (span / 8)) ** 2),
}


@dataclass
class Explained:
    """All windows of a clip, `FINEST` frames apart: probabilities, and reduced maps by method, layer and class."""

    frames: int
    truths: tuple[Truth, ...]
    starts: list[int]
    probabilities: np.ndarray
    evidence: list[dict[tuple[str, str, Key], np.ndarray]]  # (reductions, steps) each


def short_scene(index: int) -> Scene:
    """Three different actions of 6 to 14 frames, with 20 to 39 idle ones between them."""
    rng = np.random.default_rng((TRAINING_SEED, index, 9))
    labels = rng.choice([label for label in LABELS if label != NOTHING], 3, replace=False)
    at, intervals = 20, []
    for label in labels:
        length = int(rng.integers(6, 15))
        intervals.append((str(label), at, at + length))
        at += length + int(rng.integers(20, 40))
    return sample_scene(rng, at, intervals)


def explained(model: Model, scene: Scene, name: str) -> Explained:
    """Run the network over every window of a scene, and explain its three most probable actions in each."""
    frames = (model.spec.preprocess.frame(scene.render(t, 224)) for t in range(scene.frames))
    found = Explained(scene.frames, truths_of(scene, name), [], np.zeros((0, len(LABELS))), [])

    def likely(probabilities: np.ndarray) -> list[list[int]]:
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [[int(k) for k in row if k != model.background][:3] for row in order]

    attributor = Attributor(model, LAYERS, METHODS)
    for batch in batches(model, sliding_windows(frames, Windowing(model.spec.frames, FINEST))):
        explained = attributor.maps(batch, likely)
        probabilities, maps = explained.probabilities, explained.maps
        found.starts += batch.starts
        found.probabilities = np.concatenate([found.probabilities, probabilities])
        for of in maps:
            found.evidence.append(
                {
                    (method, layer, k): np.stack([evidence_curve(heat, r) for r in REDUCTIONS])
                    for k, heats in of.items()
                    for (method, layer), heat in heats.heat.items()
                }
            )
    return found


Curves = tuple[list[int], np.ndarray, np.ndarray]
"""Classes, their score curves (K, F), their evidence curves (K, F)."""


def curves(
    clip: Explained, stride: int = 4, layer: str = "layer3", method: str = "gradcam++", reduction: str = "mean"
) -> Curves:
    """What `localize` computes, from windows that were explained before."""
    keep = [i for i, s in enumerate(clip.starts) if s % stride == 0 or i == len(clip.starts) - 1]
    windowing, starts = Windowing(16, stride), [clip.starts[i] for i in keep]
    background = LABELS.index(NOTHING)
    scores = stitch(clip.probabilities[keep][:, None], starts, clip.frames, windowing).T
    candidates = {k for i in keep for m, name, k in clip.evidence[i] if (m, name) == (method, layer)} - {background}
    best = sorted(candidates, key=lambda k: -scores[k].max())[:5]
    row = REDUCTIONS.index(reduction)
    steps = next(v for (_, name, _), v in clip.evidence[0].items() if name == layer).shape[1]
    nothing = np.zeros((len(REDUCTIONS), steps))
    heat = [np.stack([clip.evidence[i].get((method, layer, k), nothing)[row] for i in keep]) for k in best]
    return best, scores[best], np.stack([stitch(h, starts, clip.frames, windowing) for h in heat])


def ideal(clip: Explained, score: Callable[[float], float]) -> Curves:
    """Curves of a network whose score is a function of the share of a window that is action."""
    rows, windowing = [], Windowing(16, 4)
    starts = [s for s in clip.starts if s % 4 == 0 or s == clip.starts[-1]]
    for truth in clip.truths:
        start, end = round(truth.start * FPS), round(truth.end * FPS)
        acting = [max(0, min(end, s + 16) - max(start, s)) / 16 for s in starts]
        rows.append(stitch(np.array([[score(a)] for a in acting]), starts, clip.frames, windowing))
    return [LABELS.index(t.label) for t in clip.truths], np.stack(rows), np.stack(rows)


def row(
    name: str,
    clips: list[Explained],
    of: list[Curves],
    curve: str = "combined",
    params: SegmentParams = SegmentParams(),
) -> None:
    """Cut the curves and print how good the segments are."""
    detections: list[Detection] = []
    for clip, (classes, scores, evidence) in zip(clips, of):
        cut = {
            "score": scores,
            "evidence": evidence / (evidence.max() or 1),
            "combined": combined_curve(scores, evidence),
        }[curve]
        times = np.arange(clip.frames) / FPS
        for k, values in zip(classes, cut):
            segments = segments_of(values, times, LABELS[k], params)
            detections += [Detection(clip.truths[0].video, s.label, s.start, s.end, s.score) for s in segments]
    truths = [t for clip in clips for t in clip.truths]
    fine = mean_average_precision(truths, detections, ACTIVITYNET_TIOU)
    coarse = mean_average_precision(truths, detections, THUMOS_TIOU[2:])
    errors = boundary_errors(truths, detections)
    start, end = np.abs(errors.onset) * FPS, np.abs(errors.offset) * FPS
    print(
        f"{name:<44} {fine.average:7.3f} {fine.mean[0]:6.3f} {fine.mean[5]:6.3f} {fine.mean[8]:6.3f} {coarse.average:8.3f}"
        f" {np.median(start):6.1f} {np.median(end):5.1f} {start.mean():6.2f} {errors.found:6.3f}",
        flush=True,
    )


def kinds(clips: list[Explained], of: list[Curves]) -> None:
    """Print what the segments that score above 0.3 are, cut by the default parameters from combined curves."""
    found = {"right (tIoU 0.5)": 0, "a part of one": 0, "another class's place": 0, "idle": 0}
    for clip, (classes, scores, evidence) in zip(clips, of):
        for k, values in zip(classes, combined_curve(scores, evidence)):
            for s in segments_of(values, np.arange(clip.frames) / FPS, LABELS[k]):
                if s.score > 0.3:
                    overlaps = {t.label: float(tiou(s.start, s.end, t.start, t.end)) for t in clip.truths}
                    own, any_class = overlaps.get(s.label, 0.0), max(overlaps.values())
                    kind = 0 if own >= 0.5 else 1 if own >= 0.1 else 2 if any_class >= 0.1 else 3
                    found[list(found)[kind]] += 1
    print("\nsegments above 0.3: " + ", ".join(f"{count} {kind}" for kind, count in found.items()))


def variants() -> Iterator[tuple[str, SegmentParams]]:
    """The default parameters with one thing changed, and sets of levels."""
    default = SegmentParams()
    for levels in ((0.2,), (0.3,), (0.4,), (0.5,), (0.6,), (0.3, 0.4, 0.5, 0.6, 0.7), (0.4, 0.5, 0.6), (0.5, 0.6, 0.7)):
        yield f"levels {', '.join(map(str, levels))}", replace(default, levels=levels)
    for name, values in {
        "hold": (0.7, 0.8, 0.9, 1.0),
        "gap": (0.0, 0.25, 0.5, 1.0),
        "shortest": (0.1, 0.25, 0.5, 1.0),
        "sigma": (0.1, 0.3, 0.6, 1.0),
        "floor": (0.0, 0.1, 0.3),
    }.items():
        for value in values:
            yield f"{name} {value:g}", replace(default, **{name: value})


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    model = load_model("playground-r2plus1d")
    scenes = (short_scene(i) if given.short else eventful_scene(TRAINING_SEED, i) for i in range(given.count))
    clips = [
        explained(model, scene, str(i))
        for i, scene in enumerate(track(scenes, total=given.count, disable=not sys.stderr.isatty()))
    ]
    print(f"{'':<44} .5:.95    @.5   @.75    @.9   .3:.7 |start| |end|   mean  found")
    for stride in (2, 4, 8):
        for curve in ("score", "evidence", "combined"):
            row(f"stride {stride}, {curve}", clips, [curves(c, stride) for c in clips], curve)
    for layer in LAYERS:
        for method in METHODS:
            for reduction in REDUCTIONS:
                for curve in ("evidence", "combined"):
                    of = [curves(c, 4, layer, method, reduction) for c in clips]
                    row(f"{layer}, {method}, {reduction}, {curve}", clips, of, curve)
    for name, weights in WEIGHTS.items():
        with patch.object(stitching, "window_weights", weights):
            row(f"weights {name}", clips, [curves(c) for c in clips])
    of = [curves(c) for c in clips]
    for name, params in variants():
        row(name, clips, of, params=params)
    row("ideal, score is the share of action", clips, [ideal(c, lambda a: a) for c in clips], "score")
    row("ideal, score is 1 from half on", clips, [ideal(c, lambda a: float(a >= 0.5)) for c in clips], "score")
    kinds(clips, of)
    print("\nshare of a window that is its action → mean probability of it")
    shares: dict[int, list[float]] = {}
    for clip in clips:
        for truth in clip.truths:
            start, end, k = round(truth.start * FPS), round(truth.end * FPS), LABELS.index(truth.label)
            for s, p in zip(clip.starts, clip.probabilities):
                if start - 16 < s < end:
                    shares.setdefault(min(end, s + 16) - max(start, s), []).append(float(p[k]))
    print("  ".join(f"{n}/16 {np.mean(shares[n]):.2f}" for n in sorted(shares)))


if __name__ == "__main__":
    main()
