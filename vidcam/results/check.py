"""Check: the result of the test that a map's hottest parts matter more than parts at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """Scores of one window with parts of it hidden: the hottest of its map, and as many at random.

    Attributes:
        share: share of the window that is hidden, of 1.
        start, end: seconds of the window's first and last frame.
        hidden_by: what stands in the place of each, one of `vidcam.cam.hiding.ABSENT`.
        score: the target's probability in the window, or its value.
        hottest: the score with the hottest parts hidden.
        random: the scores with random parts hidden.
        untested: the reason why there is nothing to test; "" if there is.

    Example:
        >>> check = Check(0.1, 1.0, 1.9, "frozen", 0.9, 0.2, (0.85, 0.9, 0.8))
        >>> check.passed, round(check.cost, 3)
        (True, 0.7)
        >>> check.sentence()
        'hiding its hottest 10 % from 1.00 to 1.90 s lowers the score from 0.9 by 0.7; 10 % at random by 0.05 (0 to 0.1, 3 times)'
    """

    share: float
    start: float
    end: float
    hidden_by: str
    score: float
    hottest: float
    random: tuple[float, ...]
    untested: str = ""

    @property
    def cost(self) -> float:
        """The score that hiding the hottest parts costs."""
        return self.score - self.hottest

    @property
    def random_costs(self) -> np.ndarray:
        """The score that each hiding of random parts costs, (N,)."""
        return self.score - np.array(self.random)

    @property
    def passed(self) -> bool:
        """True if the hottest parts cost more than those of every random choice; by chance 1 map in N + 1 does so."""
        return not self.untested and bool(self.cost > self.random_costs.max())

    def sentence(self) -> str:
        """Return the result in words."""
        if self.untested:
            return f"the check does not apply: {self.untested}"
        share, costs = f"{100 * self.share:.0f} %", self.random_costs
        return (
            f"hiding its hottest {share} from {self.start:.2f} to {self.end:.2f} s lowers the score from {self.score:.3g} by "
            f"{self.cost:.2g}; {share} at random by {costs.mean():.2g} ({costs.min():.2g} to {costs.max():.2g}, "
            f"{len(costs)} times)"
        )
