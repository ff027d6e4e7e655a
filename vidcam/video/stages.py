"""Stages: seconds that each stage of a job is busy, not counting its waits for the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


class Stages:
    """Busy seconds of the stages of a job; stages on different threads overlap.

    Attributes:
        seconds: by the stage's name.

    Example:
        >>> stages = Stages()
        >>> list(stages.timed("decode_s", range(3)))
        [0, 1, 2]
        >>> list(stages.seconds)
        ['decode_s']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` for a stage; the times of several threads are added."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and count the time in which they are made for a stage."""
        iterator, end = iter(items), object()
        while True:
            with self.busy(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]

    def rounded(self) -> dict[str, float]:
        """Return the seconds to a thousandth."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
