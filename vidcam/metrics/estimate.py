"""Means over clips, with how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` clips and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    count: int


def between_seeds(values: Sequence[float], digits: int = 3) -> str:
    """The mean of what each seed gave, and the deviation between the seeds.

    Example:
        >>> between_seeds([0.5, 0.7, 0.6]), between_seeds([0.5])
        ('0.600 ± 0.100', '0.500 ± 0.000')
    """
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


class Tally:
    """Figures of clips as they come, by name; their means at any time. A figure that is None is not counted.

    Example:
        >>> tally = Tally()
        >>> tally.update({"pointing_game": 1.0}); tally.update({"pointing_game": 0.0})
        >>> tally.compute()["pointing_game"].mean
        0.5
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def update(self, figures: Mapping[str, float | None]) -> None:
        """Add the figures of a clip."""
        for name, value in figures.items():
            values = self._values.setdefault(name, [])
            if value is not None:
                values.append(value)

    def compute(self) -> dict[str, Estimate]:
        """The estimate of every figure that has a value."""
        return {name: estimate(values) for name, values in self._values.items() if values}


def estimate(values: Iterable[float]) -> Estimate:
    """The mean of values, one for each clip, and its 95 % percentile bootstrap interval (Efron 1979).

    10,000 resamplings, the same every time. The interval of a single clip, or of equal ones, is the mean itself.
    """
    sample = np.fromiter(values, np.float64)
    mean = float(sample.mean())
    if np.ptp(sample) == 0:
        return Estimate(mean, mean, mean, len(sample))
    found = bootstrap(
        (sample,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0), batch=500
    )
    low, high = found.confidence_interval
    return Estimate(mean, float(low), float(high), len(sample))
