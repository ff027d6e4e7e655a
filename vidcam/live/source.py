"""Sources of a live run: files at their own pace, frames that a program hands over, streams and cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vidcam.errors import ClipError
from vidcam.live.backoff import BackOff
from vidcam.live.camera import camera, is_camera
from vidcam.live.clock import Clock
from vidcam.live.frame import LiveFrame
from vidcam.live.stream import Connect, stream, url_of
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource, Source, source_of
from vidcam.video.urls import redacted

Note = Callable[[str], None]
"""Called with what happens to a source, for people to read."""

LONGEST_GAP = 2.0
"""Seconds between two frames beyond which a new stretch begins: no window holds frames of both."""

_FRAMES = 3  # usual steps between two frames that are no gap, however long


class LiveSource(Protocol):
    """Frames as they come.

    Attributes:
        name: for people; without secrets.
        paced: True if the frames come at their own times, so that a late network has to skip windows.
    """

    name: str
    paced: bool

    def frames(self) -> Iterator[LiveFrame]:
        """Yield the frames until the source ends or the clock is stopped."""
        ...


def live_source(given: Source, clock: Clock, note: Note, frame_rate: float | None, assumed: float | None) -> LiveSource:
    """Return the source of a live run.

    Args:
        given: a camera ("0", "/dev/video0"), a URL of a stream, "-" for standard input, or a file, all of which come at
            their own pace; or frames that the program hands over, as for `vidcam.explain`, which wait for the network.
        clock: of the run.
        note: called with what happens.
        frame_rate, assumed: as for `vidcam.video.source.source_of`.

    Raises:
        ClipError: it can never be read.
        SettingsError: a frame rate is given for frames that have times.
    """
    if isinstance(given, str | Path):
        text = str(given)
        if is_camera(text):
            return Reconnecting(f"camera {text}", camera(text), clock, note)
        if url_of(text) is not None:
            name = "standard input" if text == "-" else redacted(text)
            return Reconnecting(name, stream(text), clock, note, ends=text == "-")
        if not Path(text).is_dir():
            return PacedFile(Clip(text), clock)
    return HandedOver(source_of(given, frame_rate, assumed), clock)


class HandedOver:
    """Frames that a program hands over; they wait for the network.

    Args:
        source: of the frames.
        clock: of the run.
    """

    paced = False

    def __init__(self, source: FrameSource, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self.name = source.name

    def frames(self) -> Iterator[LiveFrame]:
        """Yield the frames, each with its own time."""
        rate = float(self._source.frame_rate)
        for frame in self._source:
            if self._clock.stopped:
                return
            yield LiveFrame(frame.index, 0, frame.time, self._clock.now(), rate, frame.pixels)


class PacedFile(HandedOver):
    """A file that is played at its own pace.

    Args:
        clip: the file.
        clock: of the run.
    """

    paced = True

    def frames(self) -> Iterator[LiveFrame]:
        """Yield each frame when its time has come. If they are taken late, the later ones are late as well."""
        due: float | None = None  # clock minus time of the file
        for frame in super().frames():
            now = self._clock.now()
            due = now - frame.time if due is None else max(due, now - frame.time - LONGEST_GAP)
            if self._clock.wait(due + frame.time - now):
                return
            yield replace(frame, arrived=self._clock.now())


class Reconnecting:
    """A stream or a camera that is connected again, with back-off, when it ends or fails.

    Args:
        name: for people.
        connect: opens the source.
        clock: of the run.
        note: called with what happens.
        ends: True if the end of the stream ends the run.
    """

    paced = True

    def __init__(self, name: str, connect: Connect, clock: Clock, note: Note, *, ends: bool = False) -> None:
        self.name = name
        self._connect, self._clock, self._note, self._ends = connect, clock, note, ends

    def frames(self) -> Iterator[LiveFrame]:
        """Yield the frames as they come; of all connections.

        Raises:
            ClipError: the source can never be read.
        """
        began, backoff = self._clock.now(), BackOff()
        index, stretch = 0, -1
        while not self._clock.stopped:
            reason = "the stream has ended"
            last: LiveFrame | None = None
            begins: float | None = None  # clock of the run minus that of the stream
            step = 0.0  # usual seconds between two frames
            try:
                with self._connect() as connection:
                    for seconds, pixels in connection.frames:
                        now = self._clock.now() - began
                        time = now if seconds is None or begins is None else begins + seconds
                        if last is None or _breaks(last, time, pixels, step):
                            if last is not None and last.pixels.shape != pixels.shape:
                                self._note(f"{self.name}: pictures are {pixels.shape[1]}x{pixels.shape[0]} from now on")
                            stretch += 1
                            begins = None if seconds is None else now - seconds
                            time, step = now, 1 / connection.frame_rate
                        elif time > last.time:
                            step += (time - last.time - step) / 8
                        else:
                            time = last.time + min(step, 1e-3)
                        last = LiveFrame(index, stretch, time, began + now, connection.frame_rate, pixels)
                        index += 1
                        yield last
                        backoff.reset()
                        if self._clock.stopped:
                            return
                    reason = connection.ended or reason
            except OSError as error:  # FFmpeg's are of that kind
                reason = str(getattr(error, "strerror", None) or error)
            if self._ends:
                if last is None:
                    raise ClipError(f"{self.name} holds no frame ({reason}); give a stream of video")
                return
            wait = backoff.next()
            self._note(f"{self.name}: {reason}; it is tried again in {wait:g} s")
            if self._clock.wait(wait):
                return


def _breaks(last: LiveFrame, time: float, pixels: np.ndarray, step: float) -> bool:
    """Return True if a new stretch begins at a frame."""
    apart = time - last.time
    gap = max(LONGEST_GAP, _FRAMES * step)
    return last.pixels.shape != pixels.shape or not -step * _FRAMES <= apart <= gap
