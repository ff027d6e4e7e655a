"""Online segments: stretches of a curve, opened and closed while it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class OnlineSegment:
    """A stretch of a stream that shows a class.

    Attributes:
        label: of the class.
        start: seconds on the clock of the run.
        end: seconds; None while it is open.
        score: mean of the curve over the segment so far, in [0, 1].
        opened_after: seconds from the segment's start to the step that opened it.
    """

    label: str
    start: float
    end: float | None
    score: float
    opened_after: float


@dataclass(frozen=True)
class OnlineParams:
    """Parameters of online segments, by the names of `vidcam.temporal.segments.SegmentParams`.

    A clip's segments are cut at shares of the curve's highest value. A stream has not seen its highest value, so the
    level is a value of the curve itself, a probability.

    Attributes:
        level: value of the curve that a segment must reach.
        hold: a segment begins and lasts while the curve stays above this share of the level.
        gap: seconds; a segment is closed when the curve has been lower for that long, and ends where it fell.
        shortest: seconds; a segment is opened when it has lasted for that long.
    """

    level: float = 0.5
    hold: float = 0.7
    gap: float = 0.25
    shortest: float = 0.25


@dataclass
class _Track:
    """The stretch of one class that is being read: runs above the lower level, those that reached the level joined."""

    start: float
    run: float | None  # seconds at which the current run began
    reached: bool = False  # by the current run
    fell: float | None = None  # seconds at which the last run that reached it ended
    total: float = 0.0  # of the curve at all frames from the start on
    count: int = 0
    until_fell: tuple[float, int] = 0.0, 0  # total and count of the frames before `fell`
    opened_after: float | None = None

    def add(self, value: float) -> None:
        self.total, self.count = self.total + value, self.count + 1

    def fall(self, seconds: float) -> None:
        self.fell, self.until_fell = seconds, (self.total, self.count)

    def segment(self, label: str) -> OnlineSegment:
        assert self.opened_after is not None
        return OnlineSegment(label, self.start, None, self.total / self.count, self.opened_after)


@dataclass
class OnlineSegments:
    """Segments of several classes, read frame by frame.

    Attributes:
        params: of the segments.
        open: the open segments by label.

    Example:
        >>> segments = OnlineSegments(OnlineParams(gap=0.2, shortest=0.2))
        >>> for tenth, value in enumerate([0, 0.7, 0.8, 0.9, 0.1, 0.1, 0.1]):
        ...     for ended in segments.update({"wave": value}, tenth / 10, 0.0):
        ...         print(ended.label, ended.start, ended.end)
        wave 0.1 0.4
    """

    params: OnlineParams = OnlineParams()
    _tracks: dict[str, _Track] = field(default_factory=dict, init=False)

    @property
    def open(self) -> tuple[OnlineSegment, ...]:
        """The open segments, the oldest first."""
        found = [t.segment(label) for label, t in self._tracks.items() if t.opened_after is not None]
        return tuple(sorted(found, key=lambda s: s.start))

    def update(self, curves: Mapping[str, float], seconds: float, delay: float) -> list[OnlineSegment]:
        """Take the values of the classes at a frame, and return the segments that are closed by it.

        Args:
            curves: label → value in [0, 1]; a class that is not given has 0.
            seconds: time of the frame on the clock of the run, rising.
            delay: seconds from the frame's capture to now, for `OnlineSegment.opened_after`.
        """
        closed: list[OnlineSegment] = []
        for label in {*curves, *self._tracks}:
            value, track = curves.get(label, 0.0), self._tracks.get(label)
            if value < self.params.hold * self.params.level:
                closed += [] if track is None else self._below(label, track, value, seconds, delay)
                continue
            if track is not None and track.run is None and self._is_over(track, seconds):
                closed += self._closed(label, seconds, delay)
                track = None
            if track is None:
                track = self._tracks[label] = _Track(seconds, seconds)
            self._above(track, value, seconds, delay)
        return closed

    def _above(self, track: _Track, value: float, seconds: float, delay: float) -> None:
        track.run = seconds if track.run is None else track.run
        track.reached |= value >= self.params.level
        track.add(value)
        if track.reached or track.fell is not None:
            self._open(track, seconds, seconds + delay)

    def _below(self, label: str, track: _Track, value: float, seconds: float, delay: float) -> list[OnlineSegment]:
        if track.reached:
            track.fall(seconds)
        track.run, track.reached = None, False
        track.add(value)
        if track.fell is None:  # its only run did not reach the level
            del self._tracks[label]
            return []
        return self._closed(label, seconds, delay) if self._is_over(track, seconds) else []

    def _is_over(self, track: _Track, seconds: float) -> bool:
        return track.fell is not None and seconds - track.fell >= self.params.gap - 1e-9

    def _open(self, track: _Track, until: float, now: float) -> None:
        """Open a segment that has lasted long enough."""
        if track.opened_after is None and until - track.start >= self.params.shortest - 1e-9:
            track.opened_after = now - track.start

    def end(self, seconds: float) -> list[OnlineSegment]:
        """Close all segments where the stretch ends, in seconds, and return those that were open."""
        for label, track in [*self._tracks.items()]:
            if track.reached:
                track.fall(seconds)
            elif track.fell is None:
                del self._tracks[label]
        return [segment for label in [*self._tracks] for segment in self._closed(label, seconds, 0.0)]

    def _closed(self, label: str, seconds: float, delay: float) -> list[OnlineSegment]:
        track = self._tracks.pop(label)
        assert track.fell is not None
        self._open(track, track.fell, seconds + delay)
        track.total, track.count = track.until_fell
        return [] if track.opened_after is None else [replace(track.segment(label), end=track.fell)]
