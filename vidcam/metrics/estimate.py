"""Means over clips and their confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` clips, with the lower and upper end of its 95 % bootstrap interval.

    Example:
        >>> estimate([0.5, 0.5, 0.5]).interval, estimate([0.5]).interval
        ('0.500–0.500', 'one clip')
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def interval(self) -> str:
        """The interval as text; one clip has none."""
        return "one clip" if self.count == 1 else f"{self.low:.3f}–{self.high:.3f}"


def between_seeds(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean of the values of several seeds and their standard deviation, as text.

    Args:
        values: one per seed.
        digits: after the decimal point.

    Example:
        >>> between_seeds([0.5, 0.7, 0.6]), between_seeds([0.5])
        ('0.600 ± 0.100', '0.500 ± 0.000')
    """
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


class Tally:
    """A running collection of figures by name, with their means; a figure that is None is not counted.

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
        """Return the estimate of every figure that has a value."""
        return {name: estimate(values) for name, values in self._values.items() if values}


def estimate(values: Iterable[float]) -> Estimate:
    """Return the mean of values, one per clip, and its 95 % percentile bootstrap interval (Efron 1979).

    10,000 resamplings with a fixed seed. The interval of a single clip, or of equal ones, is the mean itself.
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
