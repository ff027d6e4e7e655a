"""Curves over a clip: evidence per frame, and class probabilities of the whole clip."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from vidcam.errors import one_of

Reduction = Literal["mean", "max", "top"]
"""Reduction of a heatmap to one number: its mean, its largest value, or the mean of its strongest tenth."""


def evidence_curve(heatmaps: np.ndarray, reduction: Reduction = "mean") -> np.ndarray:
    """Return each raw heatmap reduced over space: (F, h, w) to (F,), in the unit of the maps, not rescaled.

    "mean" is the amount of evidence; "max" is its largest value, however small the place is; "top" lies between: the
    mean of the strongest tenth of the places, at least one.

    Args:
        heatmaps: (F, h, w), 0 or more.
        reduction: one of these.

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
    """Return the class probabilities of a clip: the mean over its windows.

    An untrimmed clip is mostly idle. If the network has a class for that, the windows in which it is the most probable
    are left out, unless all are.

    Args:
        windows: (W, classes), a distribution per window.
        background: index of the class that means "none of the others", or None.

    Returns:
        (classes,), a distribution.
    """
    if background is None:
        return windows.mean(axis=0)
    active = windows.argmax(axis=1) != background
    return windows[active].mean(axis=0) if active.any() else windows.mean(axis=0)


def combined_curve(scores: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Return score and evidence combined: the cube root of p(t) · max p · e(t) / max e.

    The score p says if the class is present, the evidence e says more precisely when. The evidence holds the probability
    of its window already (`vidcam.temporal.factor`). Divided by its largest value and times the highest score it has the
    scale of a probability again, so that this is the geometric mean of the score, that probability and the heat, and a
    class that is never probable has a low curve.

    Args:
        scores: (..., F) probabilities.
        evidence: (..., F) in the unit of the maps.

    Returns:
        (..., F) in [0, 1]. A class without evidence has a curve of 0.
    """
    highest, peak = scores.max(axis=-1, keepdims=True, initial=0.0), evidence.max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(np.cbrt(scores * highest * (evidence / np.where(peak > 0, peak, 1))))
