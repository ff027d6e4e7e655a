"""The factor of a window: how strong its map is beside those of the clip's other windows.

Grad-CAM++ differentiates Y = exp(S), and its map of a window contains Y (Chattopadhyay et al. 2018, arXiv 1710.11063,
eq. 5). Within one window that is a constant. Between the windows of a clip it is not: without it, windows in which
nothing happens shine as brightly as those of the action.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from vidcam.errors import one_of

Factor = Literal["probability", "exp", "none"]
FACTORS: tuple[Factor, ...] = get_args(Factor)


def window_factors(factor: Factor, scores: np.ndarray, probabilities: np.ndarray | None) -> np.ndarray:
    """Return the factor of each window of a clip.

    "probability" is the probability of the class: Y = softmax(S), or what the network's probabilities are. "exp" is
    exp(S) divided by its largest value in the clip, which is the paper's factor up to one number for the whole clip and
    cannot overflow. "none" is 1: maps of two windows compare as the gradients of S do.

    Args:
        factor: one of `FACTORS`.
        scores: (W,) of the target before softmax.
        probabilities: (W,) of the target's class; None where it has none, which leaves the factor of "probability" at 1.

    Returns:
        (W,) float32 in [0, 1].

    Raises:
        SettingsError: there is no such factor.

    Example:
        >>> window_factors("exp", np.array([2.0, 2.0 + np.log(2)]), None)
        array([0.5, 1. ], dtype=float32)
    """
    one_of(factor, FACTORS, "factor")
    if factor == "exp":
        scores = np.asarray(scores, np.float64)
        return np.exp(scores - scores.max()).astype(np.float32)
    if factor == "probability" and probabilities is not None:
        return np.asarray(probabilities, np.float32)
    return np.ones(len(scores), np.float32)
