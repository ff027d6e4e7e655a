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
