"""Causal scale: the value at which colours end, from what has been seen so far."""

from __future__ import annotations

from dataclasses import dataclass, field

HALF_LIFE = 30.0
"""Seconds in which the scale falls by half if nothing stronger comes."""

LEAST = 0.1
"""Share of the highest value so far that the scale does not fall below, so that noise after a long pause stays dark."""


@dataclass
class DecayingPeak:
    """The decaying peak of a stream of values.

    A clip is scaled by its largest value, which a stream has not seen yet. The scale of a stream at time t is

        P(t) = max( h(t),  P(t - d) * 2^(-d / T),  c * max of all h so far )

    with the value h(t), the seconds d since the value before, the half-life T and the least share c. Heat divided by P is
    in [0, 1], depends on the past only, and a single outlier dims what follows for some half-lives only.

    Attributes:
        half_life: T in seconds.
        least: c, from 0 to 1.
        peak: P, in the unit of the values; 0 before the first.

    Example:
        >>> scale = DecayingPeak(half_life=10.0)
        >>> [scale.update(value, seconds) for value, seconds in ((8.0, 0.0), (1.0, 10.0), (1.0, 20.0), (3.0, 30.0))]
        [8.0, 4.0, 2.0, 3.0]
    """

    half_life: float = HALF_LIFE
    least: float = LEAST
    peak: float = field(default=0.0, init=False)
    _highest: float = field(default=0.0, init=False)
    _time: float | None = field(default=None, init=False)

    def update(self, value: float, seconds: float) -> float:
        """Take the value at a time and return the scale there. A time before the last one counts as the last one."""
        elapsed = 0.0 if self._time is None else max(0.0, seconds - self._time)
        self._time = seconds if self._time is None else max(self._time, seconds)
        self._highest = max(self._highest, value)
        self.peak = max(value, self.peak * 2.0 ** (-elapsed / self.half_life), self.least * self._highest)
        return self.peak
