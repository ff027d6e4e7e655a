"""Progress of a clip in words, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable

STEPS = {
    "loading": "Loading the network",
    "explaining": "Step 1 of 2: explaining the clip",
    "drawing": "Step 2 of 2: drawing the film and the report",
}
_BEGINNING = 2.0  # seconds of a step after which the time that it takes is estimated


class Progress:
    """The progress of one clip.

    Args:
        clock: returns seconds.

    Example:
        >>> seconds = iter([0.0, 10.0])
        >>> progress = Progress(clock=lambda: next(seconds))
        >>> progress.text("explaining", 0, 100), progress.text("explaining", 25, 100)
        ('Step 1 of 2: explaining the clip', 'Step 1 of 2: explaining the clip, about 30 s left')
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._step, self._began = "", 0.0

    def text(self, step: str, done: int, of: int) -> str:
        """Return the step in words, with the time that is left in it once that is known.

        Args:
            step: a key of `STEPS`.
            done: number of frames that are done in this step.
            of: number of frames of the step, 0 if it is not known.
        """
        now = self._clock()
        if step != self._step:
            self._step, self._began = step, now
        if done and not of:
            return f"{STEPS[step]}, {done} frames so far"
        elapsed = now - self._began
        if not done or done >= of or elapsed < _BEGINNING:
            return STEPS[step]
        return f"{STEPS[step]}, about {_duration(elapsed * (of - done) / done)} left"


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
