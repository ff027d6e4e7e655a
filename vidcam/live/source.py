"""Sources of a live run: files at their own pace, frames that a program hands over, streams and cameras."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vidcam.errors import ClipError, counted
from vidcam.live.backoff import BackOff
from vidcam.live.camera import camera, is_camera
from vidcam.live.clock import Clock
from vidcam.live.frame import LiveFrame
from vidcam.live.stream import Connect, Connection, stream, url_of
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource, Source, source_of
from vidcam.video.urls import redacted

Note = Callable[[str], None]
"""Called with what happens to a source, for people to read."""

LONGEST_GAP = 2.0
"""Seconds between two frames beyond which a new stretch begins: no window holds frames of both."""

_FRAMES = 3  # usual steps between two frames that are no gap, however long
_MISSING = 0.3  # seconds between two frames of a stretch beyond which frames are said to be missing
_DRIFT = 1e-4  # most by which a stream's clock is slower than the one here
_TELL_EVERY = 5.0  # seconds between two notes on damage


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
            now = self._clock.now()
            yield LiveFrame(frame.index, 0, frame.time, now, now, rate, frame.pixels)


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
            yield replace(frame, arrived=self._clock.now(), captured=due + frame.time)


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
        self._index, self._stretch = 0, -1  # of the next frame, and of the newest stretch
        self._time = -math.inf  # of the newest frame

    def frames(self) -> Iterator[LiveFrame]:
        """Yield the frames as they come; of all connections.

        Raises:
            ClipError: standard input holds no frame.
        """
        began, backoff = self._clock.now(), BackOff()
        while not self._clock.stopped:
            reason, before = "the stream has ended", self._index
            try:
                with self._connect() as connection:
                    for frame in self._of_connection(connection, began):
                        yield frame
                        backoff.reset()
                        if self._clock.stopped:
                            return
                    reason = connection.ended or reason
            except OSError as error:
                reason = str(error.strerror or error)
            if self._ends:
                if self._index == before:
                    raise ClipError(f"{self.name} holds no frame ({reason}); give a stream of video")
                return
            wait = backoff.next()
            self._note(f"{self.name}: {reason}; it is tried again in {wait:g} s")
            if self._clock.wait(wait):
                return

    def _of_connection(self, connection: Connection, began: float) -> Iterator[LiveFrame]:
        """Yield the frames of a connection, and tell breaks, missing frames and damage.

        Args:
            connection: an open one.
            began: seconds on the monotonic clock at which the run began.
        """
        last: LiveFrame | None = None
        shift: float | None = None  # clock of the run minus that of the stream; None if it has none
        fastest = 0.0  # the same at the frame that came fastest; unused without a shift
        step = 1 / connection.frame_rate  # usual seconds between two frames
        damage, damage_told = 0, -math.inf
        for seconds, pixels in connection.frames:
            now = self._clock.now() - began
            if seconds is None and shift is not None and last is not None:
                seconds = last.time + step - shift
            time = now if seconds is None or shift is None else shift + seconds
            if last is None or _breaks(last, time, pixels, step):
                if last is not None and last.pixels.shape != pixels.shape:
                    self._note(f"{self.name}: pictures are {pixels.shape[1]}x{pixels.shape[0]} from now on")
                self._stretch += 1
                time, shift = max(now, self._time + min(step, 1e-3)), None  # a burst may have put it ahead of the clock
            elif time > last.time + max(_MISSING, _FRAMES * step):
                self._note(f"{self.name}: there is no picture for {time - last.time:.1f} s; the one before is held")
            elif time > last.time:
                step += (time - last.time - step) / 8
            else:
                time = last.time + min(step, 1e-3)
            if seconds is not None and shift is None:
                shift, fastest = time - seconds, now - seconds
            if connection.damaged > damage and now - damage_told >= _TELL_EVERY:
                self._note(f"{self.name}: the stream is damaged in {counted(connection.damaged - damage, 'place')}")
                damage, damage_told = connection.damaged, now
            captured = now
            if seconds is not None:
                fastest = min(fastest + _DRIFT * step, now - seconds)
                captured = fastest + seconds
            stamps = time, began + now, began + captured
            last = LiveFrame(self._index, self._stretch, *stamps, connection.frame_rate, pixels)
            self._index += 1
            self._time = time
            yield last


def _breaks(last: LiveFrame, time: float, pixels: np.ndarray, step: float) -> bool:
    """Return True if a new stretch begins at a frame."""
    apart = time - last.time
    gap = max(LONGEST_GAP, _FRAMES * step)
    return last.pixels.shape != pixels.shape or not -step * _FRAMES <= apart <= gap
