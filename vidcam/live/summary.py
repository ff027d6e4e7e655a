"""Summary of a live run: counts and delays, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_WIDTH, _BINS = 0.01, 6000  # seconds of a bin of delays, and their number; the last holds all longer ones


@dataclass
class Summary:
    """Counts and delays of the frames that were shown.

    Attributes:
        frames: number of frames shown.
        unexplained: of these, the ones without an explained window.
        windows, skipped: numbers of windows explained and skipped.
        stretches: number of stretches without a break.
        seconds: from the first frame's capture to the last one's.

    Example:
        >>> summary = Summary()
        >>> for tenth in range(11):
        ...     summary.shown(tenth / 10, delay=0.5, explained=True)
        >>> summary.frames, summary.rate, summary.delay(0.5)
        (11, 10.0, 0.51)
    """

    frames: int = 0
    unexplained: int = 0
    windows: int = 0
    skipped: int = 0
    stretches: int = 0
    seconds: float = 0.0
    _began: float | None = None
    _delays: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, np.int64), repr=False)

    def shown(self, now: float, delay: float, *, explained: bool) -> None:
        """Count a frame.

        Args:
            now: seconds on the monotonic clock.
            delay: seconds from its capture to its overlay.
            explained: True if a window that holds it was explained.
        """
        captured = now - delay
        self._began = captured if self._began is None else self._began
        self.seconds = captured - self._began
        self.frames += 1
        self.unexplained += not explained
        self._delays[min(_BINS - 1, max(0, int(delay / _WIDTH)))] += 1

    @property
    def rate(self) -> float:
        """Frames shown for each second of the stream."""
        return (self.frames - 1) / self.seconds if self.seconds else 0.0

    def delay(self, share: float) -> float:
        """Return the delay in seconds that a share of the frames does not exceed, rounded up to a hundredth."""
        if not self.frames:
            return 0.0
        reached = np.searchsorted(np.cumsum(self._delays), share * self.frames)
        return round((min(int(reached), _BINS - 1) + 1) * _WIDTH, 2)
