"""Hysteresis of the shown class, so that its label does not flicker."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class LabelHysteresis:
    """The class that is shown: it changes when another one leads by a margin for some time.

    Attributes:
        margin: probability by which the other class must be ahead.
        seconds: time for which it must be ahead without a break.
        shown: index of the class; None before the first probabilities.

    Example:
        >>> label = LabelHysteresis(margin=0.1, seconds=0.2)
        >>> [label.update(np.array(p), t) for p, t in (([0.9, 0.1], 0.0), ([0.2, 0.8], 0.1), ([0.2, 0.8], 0.2), ([0.2, 0.8], 0.3))]
        [0, 0, 0, 1]
    """

    margin: float = 0.1
    seconds: float = 0.25
    shown: int | None = field(default=None, init=False)
    _rival: int | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    def update(self, probabilities: np.ndarray, seconds: float) -> int:
        """Take the probabilities (classes,) at a time in seconds, and return the index of the class that is shown."""
        best = int(probabilities.argmax())
        if self.shown is None:
            self.shown = best
        if best == self.shown or probabilities[best] < probabilities[self.shown] + self.margin:
            self._rival = None
        elif best != self._rival:
            self._rival, self._since = best, seconds
        elif seconds - self._since >= self.seconds - 1e-9:  # sums of steps are not exact
            self.shown, self._rival = best, None
        return self.shown
