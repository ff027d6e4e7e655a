"""Recording of a live run: an MP4 that grows, and can be played up to its last seconds also after a kill."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from types import TracebackType

import cv2
import numpy as np

from vidcam.errors import OutputError
from vidcam.video.writer import FilmWriter

_TIME_BASE = Fraction(1, 90_000)  # seconds
_WAITING = 32  # frames that wait for the encoder


class Recording:
    """A growing film of overlays, encoded on a thread of its own.

    The film is fragmented MP4 under its final name from the beginning: a program that is killed leaves all of it but at
    most the last second and the frames inside the encoder. All pictures have the size of the first; others are fitted into
    it. It has no sound.

    Args:
        path: the file.
        frame_rate: frames per second, about.
        overwrite: True to replace a file.

    Raises:
        OutputError: the file exists, or its directory does not.

    Example:
        >>> with Recording(Path("live.mp4"), 30.0) as film:  # doctest: +SKIP
        ...     for step in explainer.live("0"):
        ...         film.write(step.overlay, step.time)
    """

    def __init__(self, path: Path, frame_rate: float = 30.0, *, overwrite: bool = False) -> None:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; pass --overwrite or give another --record")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is no directory; give a file in one that exists")
        self._path, self._rate = path, Fraction(frame_rate).limit_denominator(1001)
        self._coming: Queue[tuple[np.ndarray, float] | None] = Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._guarded, name="vidcam-live-record", daemon=True)
        self._thread.start()

    def __enter__(self) -> Recording:
        return self

    def write(self, overlay: np.ndarray, seconds: float) -> None:
        """Append a picture (H, W, 3) uint8 RGB, both sides even, shown from a time in seconds on; times rise.

        Raises:
            OutputError: the file cannot be written.
        """
        self._put((overlay, seconds))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, and close the file.

        Raises:
            OutputError: the file cannot be written.
        """
        self._put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _put(self, item: tuple[np.ndarray, float] | None) -> None:
        while self._thread.is_alive():
            with suppress(Full):
                self._coming.put(item, timeout=0.1)
                return
        if self._error is not None and item is not None:
            raise self._error

    def _guarded(self) -> None:
        try:
            self._encode()
        except BaseException as error:
            self._error = error

    def _encode(self) -> None:
        first = self._coming.get()
        if first is None:
            return
        (height, width), began = first[0].shape[:2], first[1]
        film = FilmWriter(
            self._path, (height, width), time_base=_TIME_BASE, frame_rate=self._rate, crf=23, fragmented=True
        )
        last = -1
        with film:
            item: tuple[np.ndarray, float] | None = first
            while item is not None:
                last = max(last + 1, round((item[1] - began) / _TIME_BASE))
                film.write(fitted(item[0], height, width), last)
                item = self._coming.get()


def fitted(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture (H, W, 3) fitted into another size, (height, width, 3), with dark borders."""
    if pixels.shape[:2] == (height, width):
        return pixels
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    inner = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    resized = cv2.resize(pixels, inner[::-1], interpolation=cv2.INTER_AREA)
    found = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    found[top : top + inner[0], left : left + inner[1]] = resized
    return found
