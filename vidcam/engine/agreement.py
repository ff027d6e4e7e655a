"""Agreement of two computations of the same maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidcam.engine.attribution import Attributed


@dataclass(frozen=True)
class Agreement:
    """Agreement of two computations on the same windows.

    Attributes:
        correlation: Pearson's, of their maps, in [-1, 1]; the lowest over methods and layers.
        same_top: True if the most probable class is the same in every window.
    """

    correlation: float
    same_top: bool


def agreement(one: Attributed, other: Attributed) -> Agreement:
    """Return the agreement of two computations of the same targets in the same windows.

    The maps of one method at one layer are compared all together, so that windows with little evidence count as little
    as they do in the explanation.
    """
    pairs: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for a, b in zip(one.maps, other.maps, strict=True):
        for key in a:
            for place, heat in a[key].heat.items():
                pairs.setdefault(place, []).append((heat, b[key].heat[place]))
    lowest = min(correlation(*(np.stack(side) for side in zip(*found))) for found in pairs.values())
    return Agreement(lowest, bool((one.probabilities.argmax(1) == other.probabilities.argmax(1)).all()))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of two maps of the same shape; 1 if both are constant, 0 if only one is."""
    x, y = (np.ravel(m).astype(np.float64) - np.mean(m, dtype=np.float64) for m in (a, b))
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y / norm) if norm > 0 else float(not x.any() and not y.any())
