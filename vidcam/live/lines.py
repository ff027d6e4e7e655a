"""JSON lines of a live run: one for each explained window, and one for each segment that ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from vidcam.live.segments import OnlineSegment
from vidcam.live.step import Step

_TOP = 5


def window_lines(step: Step, labels: Sequence[str], *, probabilities: bool) -> Iterator[dict[str, Any]]:
    """Yield an entry for each window that was explained since the step before, ready for JSON.

    Args:
        step: of a live run.
        labels: of the classes.
        probabilities: True if the network gives probabilities.

    Returns:
        Entries with the window's begin and end in seconds on the clock of the run, its most probable classes, the seconds
        that the network took; and of the step: time, delay, shown label, score, evidence and open segments.
    """
    for window in step.windows:
        best = np.argsort(-window.probabilities, kind="stable")[:_TOP] if probabilities else range(len(labels))
        yield {
            "event": "window",
            "begins": round(window.begins, 3),
            "ends": round(window.ends, 3),
            "stretch": window.stretch,
            "scores": [{"label": labels[k], "score": round(float(window.probabilities[k]), 4)} for k in best],
            "network_s": round(window.seconds, 3),
            "time": round(step.time, 3),
            "delay": round(step.delay, 3),
            "label": step.label,
            "score": None if step.score is None else round(step.score, 4),
            "evidence": float(f"{step.evidence:.4g}"),
            "segments": [_entry(s) for s in step.segments],
        }


def segment_lines(segments: Iterable[OnlineSegment]) -> Iterator[dict[str, Any]]:
    """Yield an entry for each segment that has ended, ready for JSON."""
    for segment in segments:
        yield {"event": "segment", **_entry(segment)}


def _entry(segment: OnlineSegment) -> dict[str, Any]:
    return {
        "label": segment.label,
        "start": round(segment.start, 3),
        "end": None if segment.end is None else round(segment.end, 3),
        "score": round(segment.score, 4),
        "opened_after": round(segment.opened_after, 3),
    }
