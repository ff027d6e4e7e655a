"""Small frames of a source that can be read once, kept in a temporary file so that they can be read again."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from threading import Lock

import numpy as np


class Kept:
    """What an iterator gives, readable any number of times, also by several threads; each item is taken from it once.

    Args:
        coming: times in seconds, and frames (H, W, 3) uint8 of one size.
    """

    def __init__(self, coming: Iterator[tuple[float, np.ndarray]]) -> None:
        self._coming, self._lock = coming, Lock()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with this object
        weakref.finalize(self, self._file.close)
        self._times: list[float] = []
        self._shape: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        index = 0
        while (item := self._item(index)) is not None:
            yield item
            index += 1

    def _item(self, index: int) -> tuple[float, np.ndarray] | None:
        with self._lock:
            if index == len(self._times):
                item = next(self._coming, None)
                if item is None:
                    return None
                seconds, frame = item
                self._shape = frame.shape
                self._file.seek(index * frame.size)
                self._file.write(np.ascontiguousarray(frame).tobytes())
                self._times.append(seconds)
                return item
            size = int(np.prod(self._shape))
            self._file.seek(index * size)
            return self._times[index], np.frombuffer(self._file.read(size), np.uint8).reshape(self._shape)
