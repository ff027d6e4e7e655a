"""Metrics of temporal localization, by the protocol of ActivityNet (Caba Heilbron et al. 2015).

Detections of a class, over all videos, are matched in order of decreasing score. Each is matched to the unmatched truth
of its video that it overlaps most, if their intersection over union in time (tIoU) reaches the threshold; otherwise it is
false. Average precision is the area under the interpolated precision, mAP its mean over the classes of the truths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vidcam.temporal.segments import tiou

ACTIVITYNET_TIOU = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
THUMOS_TIOU = tuple(float(t) for t in np.linspace(0.1, 0.7, 7))


class Truth(NamedTuple):
    """An annotated action, from start to end in seconds."""

    video: str
    label: str
    start: float
    end: float


class Detection(NamedTuple):
    """A detected action, from start to end in seconds, with a score."""

    video: str
    label: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class MeanAveragePrecision:
    """Average precision by class and threshold, and its means.

    Attributes:
        tiou: the thresholds.
        labels: the classes.
        average_precision: (classes, thresholds) in [0, 1].
    """

    tiou: tuple[float, ...]
    labels: tuple[str, ...]
    average_precision: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean average precision (mAP) at each threshold, (thresholds,)."""
        return self.average_precision.mean(axis=0)

    @property
    def average(self) -> float:
        """Mean of mAP over the thresholds."""
        return float(self.mean.mean())


def mean_average_precision(
    truths: Sequence[Truth], detections: Sequence[Detection], thresholds: Sequence[float] = ACTIVITYNET_TIOU
) -> MeanAveragePrecision:
    """Return the average precision of the classes of the truths, in the order in which they first occur.

    A class without detections has an average precision of 0; detections of other classes are ignored. Equal scores
    are in the order of `numpy.argsort`, reversed, as in ActivityNet's own evaluation.

    Args:
        truths: of all videos.
        detections: of all videos.
        thresholds: of the tIoU, in [0, 1].
    """
    labels = tuple(dict.fromkeys(t.label for t in truths))
    rows = [
        average_precision(
            [t for t in truths if t.label == label], [d for d in detections if d.label == label], thresholds
        )
        for label in labels
    ]
    return MeanAveragePrecision(tuple(thresholds), labels, np.array(rows).reshape(len(labels), len(thresholds)))


def average_precision(
    truths: Sequence[Truth], detections: Sequence[Detection], thresholds: Sequence[float]
) -> np.ndarray:
    """Return the average precision of one class at each threshold of the tIoU, (thresholds,) in [0, 1]."""
    places: dict[str, list[int]] = {}
    for i, truth in enumerate(truths):
        places.setdefault(truth.video, []).append(i)
    overlaps = []
    for detection in detections:
        here = places.get(detection.video, [])
        found = tiou(
            detection.start,
            detection.end,
            np.array([truths[i].start for i in here], np.float64),
            np.array([truths[i].end for i in here], np.float64),
        )
        overlaps.append(dict(zip(here, found.tolist())))
    return precision_of_matches(len(truths), [d.score for d in detections], overlaps, thresholds)


def precision_of_matches(
    truths: int, scores: Sequence[float], overlaps: Sequence[Mapping[int, float]], thresholds: Sequence[float]
) -> np.ndarray:
    """Return the average precision of one class at each threshold of any measure of overlap, (thresholds,) in [0, 1].

    Args:
        truths: the number of them.
        scores: of the detections.
        overlaps: for each detection its overlap with each truth of its video, by the truth's number.
        thresholds: of the overlap.
    """
    if not scores:
        return np.zeros(len(thresholds))
    order = np.array(scores, np.float64).argsort()[::-1]
    taken = np.zeros((len(thresholds), truths), bool)
    hits = np.zeros((len(thresholds), len(scores)))
    for rank, here in enumerate(overlaps[i] for i in order):
        numbers, values = np.array(list(here), int), np.array(list(here.values()), np.float64)
        nearest = values.argsort()[::-1]
        for row, threshold in enumerate(thresholds):
            for j in nearest:
                if values[j] < threshold:
                    break
                if not taken[row, numbers[j]]:
                    taken[row, numbers[j]] = True
                    hits[row, rank] = 1
                    break
    true = hits.cumsum(axis=1)
    precision, recall = true / np.arange(1, len(scores) + 1), true / truths
    return np.array([_area(p, r) for p, r in zip(precision, recall)])


def _area(precision: np.ndarray, recall: np.ndarray) -> float:
    """Return the area under the interpolated precision: at each recall the largest at that recall or a higher one."""
    precision = np.concatenate([[0.0], precision, [0.0]])
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.nonzero(recall[1:] != recall[:-1])[0] + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))


def average_recall(
    truths: Sequence[Truth],
    detections: Sequence[Detection],
    proposals: int,
    thresholds: Sequence[float] = ACTIVITYNET_TIOU,
) -> float:
    """Return the share of truths matched by one of the best `proposals` segments of their video, of any class.

    Returns:
        The mean over the thresholds of the tIoU, in [0, 1]; 0 if there are no truths.
    """
    by_video: dict[str, list[Detection]] = {}
    for detection in sorted(detections, key=lambda d: -d.score):
        kept = by_video.setdefault(detection.video, [])
        if len(kept) < proposals:
            kept.append(detection)
    best = [
        max((float(tiou(d.start, d.end, t.start, t.end)) for d in by_video.get(t.video, [])), default=0.0)
        for t in truths
    ]
    return float(np.mean([[b >= threshold for b in best] for threshold in thresholds])) if best else 0.0


def hit_rate(truths: Sequence[Truth], peaks: Sequence[tuple[str, str, float]]) -> float:
    """Return the share of peaks that lie within a truth of their video and class, in [0, 1]; 0 if there are none.

    Args:
        truths: of all videos.
        peaks: video, label and time in seconds of each.
    """
    hits = [any(t.video == v and t.label == c and t.start <= s <= t.end for t in truths) for v, c, s in peaks]
    return float(np.mean(hits)) if hits else 0.0


@dataclass(frozen=True)
class BoundaryErrors:
    """Errors of detected starts and ends, positive if they are late.

    Attributes:
        onset: of the starts in seconds, one for each truth that has a detection.
        offset: of the ends in seconds, likewise.
        found: share of truths that have a detection, in [0, 1].
    """

    onset: np.ndarray
    offset: np.ndarray
    found: float


def boundary_errors(truths: Sequence[Truth], detections: Sequence[Detection], threshold: float = 0.1) -> BoundaryErrors:
    """Return the errors of the detection of each truth: of its video and class, the one with the highest score.

    Args:
        truths: of all videos.
        detections: of all videos.
        threshold: least tIoU of a detection with the truth.
    """
    onset, offset = [], []
    for truth in truths:
        alike = [
            d
            for d in detections
            if (d.video, d.label) == (truth.video, truth.label)
            and tiou(d.start, d.end, truth.start, truth.end) >= threshold
        ]
        if alike:
            best = max(alike, key=lambda d: d.score)
            onset.append(best.start - truth.start)
            offset.append(best.end - truth.end)
    return BoundaryErrors(np.array(onset), np.array(offset), len(onset) / len(truths) if truths else 0.0)


def time_auc(evidence: np.ndarray, acting: np.ndarray) -> float | None:
    """Return the probability that a frame of the action has more evidence than another frame, ties counted half.

    The area under the receiver operating characteristic of the evidence as a detector of the action's frames.

    Args:
        evidence: (F,) in any unit.
        acting: (F,) bool.

    Returns:
        In [0, 1]; None if all frames belong to the action, or none does.

    Example:
        >>> time_auc(np.array([0.0, 0.2, 0.9, 0.2]), np.array([False, False, True, True]))
        0.875
    """
    inside, outside = evidence[acting], evidence[~acting]
    if not len(inside) or not len(outside):
        return None
    outside = np.sort(outside)
    less, not_more = (np.searchsorted(outside, inside, side) for side in ("left", "right"))
    return float((less + not_more).sum() / 2 / (len(inside) * len(outside)))
