"""Clips with several actors: the share of them that a map covers, and the tubes that find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.metrics.overlap import tube_localization, tube_of
from vidcam.metrics.tubes import TubeDetection, TubeTruth, coverage, video_map
from vidcam.temporal.tubes import Tube, TubeParams, box_iou, tubes_of

COVERED = 0.25
"""Smallest share of an actor's visible pixels that a map must cover to find the actor."""

THRESHOLDS = (0.25, 0.5)
"""Smallest heat that covers a pixel, as shares of the strongest of the clip."""


@dataclass(frozen=True)
class MultiActor:
    """The measure of clips with several actors.

    Attributes:
        subject: the network.
        params: of the tubes.
    """

    subject: Subject
    params: TubeParams

    def __call__(self, sample: Sample) -> dict[str, dict[str, Any]]:
        """Measure the maps and tubes of a clip's class against the masks of its actors.

        Returns:
            Method → figure → its value; the names of figures per actor end in the number of actors. "tubes" and "truth"
            hold the tubes and the actors' boxes, for `video_maps`.

        Raises:
            ClipError: the actors of the clip are not known.
        """
        labels = self.subject.labels
        if sample.mask is None or not sample.actors or sample.label not in labels:
            raise ClipError(f"{sample.name} has no mask of an actor; give clips of the playground, with their sidecars")
        target = labels.index(sample.label)
        found = self.subject.clip_explanations(sample, target)
        height, width = sample.frames.shape[1:3]
        count = len(sample.actors)
        figures: dict[str, dict[str, Any]] = {}
        for name, explanation in found.items():
            heat = upsampled(explanation.maps, height, width).numpy()
            tubes = tubes_of(explanation.maps, explanation.scores, (0, 0, width, height), sample.label, self.params)
            whole = np.any([tube_of(actor) for actor in sample.actors], axis=0)
            figures[name] = {"tubes": [[t.score, t.start, t.boxes.round(1).tolist()] for t in tubes]}
            figures[name]["truth"] = [list(_boxes(actor)) for actor in sample.actors]
            figures[name]["best_box_iou"] = float(np.mean([_best_box_iou(actor, tubes) for actor in sample.actors]))
            # A map that is hot everywhere covers every actor. So the share is also measured at the threshold at which
            # the hot area is as large as the visible pixels of the actors.
            alike = float(np.quantile(heat, 1 - np.mean(sample.mask))) / (float(heat.max()) or 1.0)
            for threshold, level in {**{f"{t:g}": t for t in THRESHOLDS}, "same_area": alike}.items():
                share = float(np.mean([coverage(heat, actor, level) >= COVERED for actor in sample.actors]))
                figures[name] |= {f"found_{threshold}_of_{count}": share, f"found_{threshold}": share}
            for level in THRESHOLDS:
                figures[name][f"loc_{level:g}"] = tube_localization(heat, whole, level)
        return figures


def video_maps(
    records: Sequence[Mapping[str, Any]], method: str, thresholds: Sequence[float] = (0.2, 0.5)
) -> np.ndarray:
    """Return the video-mAP of one method over the records of clips, (thresholds,); all actions count as one class.

    Args:
        records: of `MultiActor`.
        method: whose tubes.
        thresholds: of the overlap `tube_iou`.
    """
    truths, detections = [], []
    for record in records:
        figures = record["figures"][method]
        for start, boxes in figures["truth"]:
            truths.append(TubeTruth(record["clip"], "action", start, np.array(boxes)))
        for score, start, boxes in figures["tubes"]:
            detections.append(TubeDetection(record["clip"], Tube("action", score, start, np.array(boxes))))
    return video_map(truths, detections, thresholds)


def _boxes(actor: np.ndarray) -> tuple[int, list[list[float]]]:
    """Return an actor's first frame, and a box for each frame up to the last; a hidden actor keeps the box before."""
    frames = np.nonzero(actor.any(axis=(1, 2)))[0]
    boxes: list[list[float]] = []
    for mask in actor[frames[0] : frames[-1] + 1]:
        ys, xs = np.nonzero(mask)
        boxes.append(
            [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)] if len(ys) else boxes[-1]
        )
    return int(frames[0]), boxes


def _best_box_iou(actor: np.ndarray, tubes: Sequence[Tube]) -> float:
    """Return the mean over an actor's frames of the IoU with the tube that overlaps the box most in that frame."""
    start, boxes = _boxes(actor)
    best = []
    for frame, box in enumerate(boxes, start):
        there = [t.boxes[frame - t.start] for t in tubes if t.start <= frame < t.end]
        best.append(max((float(box_iou(np.array(box), b)) for b in there), default=0.0))
    return float(np.mean(best))
