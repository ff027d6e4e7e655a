"""Resized frames: a source resized for the network, decoded once if the frames fit into a buffer."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from itertools import islice
from threading import Lock

import numpy as np

from vidcam.errors import ClipError
from vidcam.models.preprocess import Preprocess
from vidcam.video.source import FrameSource
from vidcam.video.stages import Stages

IN_MEMORY = 8 << 20
"""Bytes above which the buffer is a temporary file."""

BUFFERED = 512 << 20
"""Most bytes that are buffered of a source that can be read again; other sources are buffered whole."""


class ResizedFrames:
    """Iterable of times in seconds and frames (h, w, 3) uint8 that can be read many times, also by several threads.

    Args:
        source: decoded once, as far as the frames fit into the buffer.
        preprocess: resizes and crops the frames.

    Attributes:
        source: as given.
        stages: seconds of "decode_s" and "resize_s" so far.

    Raises:
        ClipError: while it is read: the source cannot be decoded; or it can be read only once, and the temporary folder
            has no space for its frames.
    """

    def __init__(self, source: FrameSource, preprocess: Preprocess) -> None:
        self.source, self._preprocess = source, preprocess
        self.stages = Stages()
        self._live = self._resized(source)
        self._lock = Lock()
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed with this object
        weakref.finalize(self, self._file.close)
        self._times: list[float] = []  # of the buffered frames
        self._taken = 0  # frames that the first reading has given
        self._full = False
        self._shape: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        index = 0
        while True:
            with self._lock:
                if index < len(self._times):
                    item: tuple[float, np.ndarray] | None = self._buffered(index)
                elif index == self._taken:
                    item = self._next()
                else:  # the first reading is further on, and what is between is not buffered
                    break
            if item is None:
                return
            yield item
            index += 1
        yield from islice(self._resized(self.source.reopened()), index, None)

    def _resized(self, source: FrameSource) -> Iterator[tuple[float, np.ndarray]]:
        for frame in self.stages.timed("decode_s", source):
            with self.stages.busy("resize_s"):
                pixels = self._preprocess.frame(frame.pixels)
            yield frame.time, pixels

    def _next(self) -> tuple[float, np.ndarray] | None:
        item = next(self._live, None)
        if item is not None:
            self._taken += 1
            if not self._full:
                self._buffer(*item)
        return item

    def _buffer(self, seconds: float, frame: np.ndarray) -> None:
        self._shape = frame.shape
        index = len(self._times)
        if self.source.reopens and (index + 1) * frame.size > BUFFERED:
            self._full = True
            return
        try:
            self._file.seek(index * frame.size)
            self._file.write(np.ascontiguousarray(frame).tobytes())
        except OSError as error:
            if not self.source.reopens:
                raise ClipError(
                    f"{self.source.name} can be read once only, and the temporary folder does not hold its frames "
                    f"({error.strerror}); free some space, or give a file"
                ) from error
            self._full = True
            return
        self._times.append(seconds)

    def _buffered(self, index: int) -> tuple[float, np.ndarray]:
        size = int(np.prod(self._shape))
        self._file.seek(index * size)
        return self._times[index], np.frombuffer(self._file.read(size), np.uint8).reshape(self._shape)
