"""Back-off: the time to wait before a source is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class BackOff:
    """Growing waits between attempts.

    Attributes:
        first: seconds of the first wait.
        factor: by which each wait is longer than the one before.
        longest: seconds.

    Example:
        >>> waits = BackOff(first=0.5, longest=3.0)
        >>> [waits.next() for _ in range(4)]
        [0.5, 1.0, 2.0, 3.0]
        >>> waits.reset()
        >>> waits.next()
        0.5
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 10.0
    _wait: float = field(default=0.0, init=False)

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        self._wait = min(self.longest, self._wait * self.factor or self.first)
        return self._wait

    def reset(self) -> None:
        """Begin again with the first wait, because an attempt was successful."""
        self._wait = 0.0
