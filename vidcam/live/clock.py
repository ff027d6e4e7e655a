"""Clock of a live run: the time now, and waiting that ends when the run is stopped."""

from __future__ import annotations

import time
from threading import Event


class Clock:
    """The monotonic clock of the system. Tests give another one, so that they do not depend on speed.

    Example:
        >>> clock = Clock()
        >>> clock.stop()
        >>> clock.wait(3600), clock.stopped
        (True, True)
    """

    def __init__(self) -> None:
        self._stopped = Event()

    def now(self) -> float:
        """Return the time in seconds; only differences mean something."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for some seconds, or until the run is stopped, and return True if it is stopped."""
        return self._stopped.wait(max(0.0, seconds))

    def stop(self) -> None:
        """End all waiting, now and later."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """True after `stop`."""
        return self._stopped.is_set()
