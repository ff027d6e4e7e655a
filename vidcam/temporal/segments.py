"""Segments of a curve: the stretches where it is high, each with a score, and the choice among overlapping ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Segment:
    """A stretch of a clip that shows a class.

    Attributes:
        start, end: seconds on the clip's clock.
        label: of the class.
        score: confidence, 0 or more; higher is better.
    """

    start: float
    end: float
    label: str
    score: float


@dataclass(frozen=True)
class SegmentParams:
    """Parameters that cut a curve into segments. docs/temporal.md shows how the defaults were chosen.

    Attributes:
        levels: thresholds, as shares of the curve's highest value, each of which proposes segments.
        hold: hysteresis: a segment that began at a level lasts while the curve stays above this share of that level.
        floor: smallest highest value, in the curve's own unit, of a class that is present at all.
        gap: seconds; stretches of one level that are closer are joined.
        shortest: seconds; segments that are shorter are dropped.
        sigma: of soft-NMS; larger keeps more overlapping segments.
        least: score below which segments are dropped.

    Example:
        >>> curve, times = np.array([0, 0, 1, 1, 1, 0, 0.0]), np.arange(7.0)
        >>> [(s.start, s.end) for s in segments_of(curve, times, "wave", SegmentParams(levels=(0.5,)))]
        [(2.0, 5.0)]
    """

    levels: tuple[float, ...] = (0.4, 0.5, 0.6)
    hold: float = 0.9
    floor: float = 0.1
    gap: float = 0.25
    shortest: float = 0.25
    sigma: float = 0.6
    least: float = 0.01


INSTANTS = SegmentParams(levels=(0.5, 0.6), gap=0.0, shortest=0.0)
"""For a network that scores frames: an event may last a single one, and two of them may be close."""


def segments_of(
    curve: np.ndarray, times: np.ndarray, label: str, params: SegmentParams = SegmentParams()
) -> list[Segment]:
    """Return the segments of one class, best first.

    Args:
        curve: (F,) the class's curve, 0 or more.
        times: (F,) seconds, rising. A frame lasts until the next; the last as long as the one before it.
        label: of the class.
        params: how the curve is cut.

    Returns:
        Proposals of all levels, scored by their contrast with their surroundings (`contrast`), reduced by `soft_nms`.
        A curve that is nowhere finite or never reaches `params.floor` has none; values that are not finite count as 0.
    """
    curve = np.where(np.isfinite(curve), curve, 0.0).clip(min=0)
    peak = float(curve.max(initial=0.0))
    if peak < params.floor or peak <= 0:
        return []
    edges = frame_edges(times)
    found: dict[tuple[int, int], float] = {}
    for level in params.levels:
        for start, end in _stretches(curve, level * peak, params.hold * level * peak, edges, params.gap):
            if edges[end] - edges[start] >= params.shortest:
                found[start, end] = contrast(curve, edges, start, end)
    proposals = [Segment(float(edges[a]), float(edges[b]), label, score) for (a, b), score in found.items()]
    return [s for s in soft_nms(proposals, params.sigma) if s.score >= params.least]


def frame_edges(times: np.ndarray) -> np.ndarray:
    """Return (F + 1,) seconds: the start of each frame, and the end of the last."""
    last = times[-1] - times[-2] if len(times) > 1 else 1 / 25
    return np.append(times, times[-1] + last)


def _stretches(curve: np.ndarray, high: float, low: float, edges: np.ndarray, gap: float) -> list[tuple[int, int]]:
    """Return the frames [start, end) of stretches above `low` that reach `high`, joined if closer than `gap` seconds."""
    above = np.concatenate([[False], curve >= low, [False]])
    starts, ends = np.nonzero(above[1:] & ~above[:-1])[0], np.nonzero(above[:-1] & ~above[1:])[0]
    joined: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist()):
        if curve[start:end].max() < high:
            continue
        if joined and edges[start] - edges[joined[-1][1]] < gap:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


def contrast(curve: np.ndarray, edges: np.ndarray, start: int, end: int) -> float:
    """Return the outer-inner contrast of the frames [start, end): their mean minus the mean of their surroundings.

    The surroundings are a quarter of the segment's length on both sides, at least one frame, as far as the clip goes
    (Shou et al. 2018, arXiv 1807.08333, eq. 3). Not below 0; without surroundings, the mean itself.

    Args:
        curve: (F,).
        edges: (F + 1,) seconds, see `frame_edges`.
        start, end: frames.
    """
    margin = (edges[end] - edges[start]) / 4
    before = max(0, min(start - 1, int(np.searchsorted(edges, edges[start] - margin))))
    after = min(len(curve), int(np.searchsorted(edges, edges[end] + margin)))
    outer = np.concatenate([curve[before:start], curve[end:after]])
    inner = float(curve[start:end].mean())
    return max(0.0, inner - float(outer.mean())) if len(outer) else inner


def soft_nms(segments: Sequence[Segment], sigma: float) -> list[Segment]:
    """Return segments after soft non-maximum suppression in time, best first.

    The best is kept, and the scores of the others fall by exp(-tIoU² / sigma); then the best of the rest is next (Bodla
    et al. 2017, arXiv 1704.04503, eq. 3).

    Args:
        segments: of one class.
        sigma: larger keeps more overlapping segments.
    """
    waiting, kept = list(segments), []
    while waiting:
        best = max(waiting, key=lambda s: s.score)
        waiting.remove(best)
        kept.append(best)
        waiting = [replace(s, score=s.score * float(np.exp(-(_tiou(s, best) ** 2) / sigma))) for s in waiting]
    return kept


LEAST_SHOWN = 0.4
"""Score below which a proposal is not shown to people; files of detections hold all, for evaluation."""


def distinct(segments: Iterable[Segment], least: float = LEAST_SHOWN) -> list[Segment]:
    """Return the segments that people are shown, best first.

    Proposals that overlap a better one of their class are left out, and so are those of scores below `least`.
    """
    kept: list[Segment] = []
    for s in sorted(segments, key=lambda s: -s.score):
        if s.score >= least and all(s.label != k.label or _tiou(s, k) == 0 for k in kept):
            kept.append(s)
    return kept


def tiou(start: float, end: float, starts: np.ndarray | float, ends: np.ndarray | float) -> np.ndarray:
    """Return the temporal IoU of one segment with N others, (N,), or with one, (), in [0, 1].

    A segment that takes no time, or ends before it begins, overlaps nothing, not even its equal.

    Args:
        start, end: of the one, in seconds.
        starts, ends: of the others, in seconds.
    """
    intersection = np.clip(np.minimum(end, ends) - np.maximum(start, starts), 0, None)
    union = (ends - starts) + (end - start) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union, np.float64), where=intersection > 0)


def _tiou(a: Segment, b: Segment) -> float:
    return float(tiou(a.start, a.end, b.start, b.end))
