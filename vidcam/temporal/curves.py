"""Curves over a clip: evidence per frame, and class probabilities of the whole."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from vidcam.errors import one_of

Reduction = Literal["mean", "max", "top"]
"""How a heatmap becomes one number: its mean, its largest value, or the mean of its strongest tenth."""


def evidence_curve(heatmaps: np.ndarray, reduction: Reduction = "mean") -> np.ndarray:
    """Each raw heatmap reduced over space: (F, h, w) to (F,), in the unit of the maps, not rescaled.

    "mean" says how much evidence there is; "max" how strong it is at its strongest place, however small that is; "top",
    the mean of the strongest tenth of the places, at least one, lies between.

    Raises:
        SettingsError: there is no such reduction.
    """
    one_of(reduction, get_args(Reduction), "evidence")
    places = heatmaps.reshape(len(heatmaps), -1)
    if reduction == "mean":
        return places.mean(axis=1)
    count = 1 if reduction == "max" else max(1, places.shape[1] // 10)
    return np.asarray(np.partition(places, -count, axis=1)[:, -count:].mean(axis=1))


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
