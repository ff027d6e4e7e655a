"""Measures of tubes: overlap in space and time, video-mAP, and the share of an actor that a map covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vidcam.metrics.localization import precision_of_matches
from vidcam.temporal.tubes import Tube, box_iou


class TubeTruth(NamedTuple):
    """An annotated actor in a video: a box (left, top, right, bottom) in each of consecutive frames from `start` on."""

    video: str
    label: str
    start: int
    boxes: np.ndarray


class TubeDetection(NamedTuple):
    """A detected tube in a video."""

    video: str
    tube: Tube


def tube_iou(start: int, boxes: np.ndarray, other_start: int, other_boxes: np.ndarray) -> float:
    """Return the overlap of two tubes: the temporal IoU of their frames times the mean box IoU in shared frames.

    The spatio-temporal overlap of Weinzaepfel et al. 2015 (arXiv 1506.01929).

    Args:
        start, other_start: index of each tube's first frame.
        boxes, other_boxes: (n, 4) left, top, right, bottom in pixels.
    """
    end, other_end = start + len(boxes), other_start + len(other_boxes)
    first, last = max(start, other_start), min(end, other_end)
    if first >= last:
        return 0.0
    mine, its = boxes[first - start : last - start], other_boxes[first - other_start : last - other_start]
    in_time = (last - first) / (max(end, other_end) - min(start, other_start))
    return float(in_time * box_iou(mine, its).mean())


def video_map(
    truths: Sequence[TubeTruth], detections: Sequence[TubeDetection], thresholds: Sequence[float] = (0.2, 0.5)
) -> np.ndarray:
    """Return the video-mAP at each threshold of `tube_iou`, (thresholds,): the mean over the classes of the truth.

    The protocol is that of `mean_average_precision`, with tubes in place of segments.
    """
    labels = dict.fromkeys(t.label for t in truths)
    rows = []
    for label in labels:
        wanted = [t for t in truths if t.label == label]
        found = [d for d in detections if d.tube.label == label]
        overlaps = [
            {
                j: tube_iou(d.tube.start, d.tube.boxes, t.start, t.boxes)
                for j, t in enumerate(wanted)
                if t.video == d.video
            }
            for d in found
        ]
        rows.append(precision_of_matches(len(wanted), [d.tube.score for d in found], overlaps, thresholds))
    return np.mean(rows, axis=0)


def coverage(heat: np.ndarray, mask: np.ndarray, threshold: float) -> float:
    """Return the share of an actor's visible pixels whose heat is at least `threshold` of the map's largest value.

    Args:
        heat: (F, H, W).
        mask: (F, H, W) bool, somewhere true: the actor, while acting.
        threshold: in (0, 1).
    """
    peak = float(heat.max())
    return float((heat[mask] >= threshold * peak).mean()) if peak > 0 else 0.0
