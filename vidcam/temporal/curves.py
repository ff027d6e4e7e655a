"""Curves over a clip: evidence per frame, and class probabilities of the whole."""

from __future__ import annotations

import numpy as np


def evidence_curve(heatmaps: np.ndarray) -> np.ndarray:
    """The spatial mean of each raw heatmap: (F, h, w) to (F,), in the unit of the maps, not rescaled."""
    return heatmaps.mean(axis=(1, 2))


def clip_probabilities(windows: np.ndarray, background: int | None = None) -> np.ndarray:
    """Class probabilities of a clip: the mean over its windows.

    An untrimmed clip is mostly idle. Where the network has a class for that, the windows in which that class is the
    most probable are left out, unless all are.

    Args:
        windows: (W, classes), a distribution per window.
        background: index of the class that means "none of the others", or None.

    Returns:
        (classes,), a distribution.
    """
    active = windows.argmax(axis=1) != background
    return windows[active].mean(axis=0) if active.any() else windows.mean(axis=0)


def combined_curve(scores: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Score and evidence together: the geometric mean of the score and the evidence, scaled by its largest value.

    The score says whether, the evidence says more finely when. Where a class has no evidence at all the curve is 0.

    Args:
        scores: (..., F) probabilities.
        evidence: (..., F) in the unit of the maps.

    Returns:
        (..., F) in [0, 1].
    """
    peak = evidence.max(axis=-1, keepdims=True, initial=0.0)
    return np.sqrt(scores * (evidence / np.where(peak > 0, peak, 1)))
