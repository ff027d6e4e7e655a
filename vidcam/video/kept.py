"""Kept frames: a clip that is decoded once for two readings, if its decoded frames are small enough."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidcam.video.reader import Clip, Frame
from vidcam.video.source import Source
from vidcam.video.urls import is_url

MOST = 1 << 27
"""Bytes of decoded frames that are kept, as they are coded: about 13 seconds of 640x360 in 4:2:0."""


class KeptClip(Clip):
    """A video file whose first complete reading keeps its decoded frames for the clip that `reopened` returns.

    They are given back one by one as that clip is read; its next reading decodes again.

    Args:
        path: the file.
        most: bytes of decoded frames that are kept; of a clip with more, none are.
        **settings: those of `Clip`.

    Example:
        >>> clip = KeptClip("clip.mp4")                    # doctest: +SKIP
        >>> times = [frame.time for frame in clip]         # doctest: +SKIP
        >>> for frame in clip.reopened(): print(frame.pixels.shape)    # without decoding    # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, most: int = MOST, **settings: Any) -> None:
        super().__init__(path, **settings)
        self._most = most
        self._kept: deque[Frame] | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start, see `Clip`."""
        kept, self._kept = self._kept, None
        if kept is not None:
            while kept:
                yield kept.popleft()
            return
        seen: deque[Frame] | None = deque()
        room = self._most
        for frame in super().__iter__():
            room -= frame.bytes
            if room < 0:
                seen = None
            if seen is not None:
                seen.append(replace(frame))  # without the RGB picture that its user may ask it for
            yield frame
        self._kept = seen

    def reopened(self) -> Clip:
        """Return the same clip for another reading, with the kept frames if there are any."""
        if self._kept is None:
            return super().reopened()
        again = copy.copy(self)
        self._kept = None
        return again


def kept(given: str) -> Source:
    """Return a `KeptClip` of a video file; a URL or a folder as it is."""
    return given if is_url(given) or Path(given).is_dir() else KeptClip(given)
