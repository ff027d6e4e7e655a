"""Sliding windows over a stream of frames.

Window `i` starts at frame `i * stride` and takes `length` frames, `sampling_rate` apart. The last window is moved so
that it ends on the last frame of the stream. The stream is the source's frames, or those at the instants of a constant
rate (`vidcam.video.clock`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Generic, TypeVar

from vidcam.errors import SettingsError, counted

T = TypeVar("T")


@dataclass(frozen=True)
class Windowing:
    """Length, stride and sampling rate of the windows of a clip.

    Attributes:
        length: frames of one window.
        stride: frames of the stream between the starts of consecutive windows.
        sampling_rate: frames of the stream between consecutive frames of a window.
        rate: frames of the stream per second, one for each instant; None if they are the source's frames.

    Raises:
        SettingsError: a value is not an integer of 1 or more, or the stride is longer than a window, which would leave
            frames unexplained.
    """

    length: int
    stride: int
    sampling_rate: int = 1
    rate: float | None = None

    def __post_init__(self) -> None:
        for name in ("length", "stride", "sampling_rate"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name.replace('_', ' ')} is {value!r}; give a whole number, 1 or more")
        if self.stride > self.span:
            raise SettingsError(
                f"stride {self.stride} is longer than a window of {counted(self.span, 'frame')} "
                f"({counted(self.length, 'frame')} at sampling rate {self.sampling_rate}) and would leave frames unexplained; "
                f"give a stride of at most {self.span}"
            )

    @property
    def span(self) -> int:
        """Frames of the stream from the first to the last of a window, both included."""
        return (self.length - 1) * self.sampling_rate + 1


@dataclass(frozen=True)
class Window(Generic[T]):
    """The frames of one window.

    Attributes:
        start: frame of the stream that it begins at.
        frames: its frames.
        padded: number of repeated frames at its end.
    """

    start: int
    frames: tuple[T, ...]
    padded: int = 0


def sliding_windows(frames: Iterable[T], windowing: Windowing) -> Generator[Window[T]]:
    """Cut a stream into windows and yield them; memory holds one window's span of frames.

    A clip shorter than one window gives a single window, filled by repeating its last frame.
    An empty stream gives none.
    """
    span, rate = windowing.span, windowing.sampling_rate
    recent: deque[T] = deque(maxlen=span)
    count, last_start = 0, -1
    for frame in frames:
        recent.append(frame)
        count += 1
        start = count - span
        if start >= 0 and start % windowing.stride == 0:
            yield Window(start, tuple(recent)[::rate])
            last_start = start
    if 0 < count < span:
        sampled = tuple(recent)[::rate]
        padded = windowing.length - len(sampled)
        yield Window(0, sampled + (recent[-1],) * padded, padded)
    elif count and last_start != count - span:
        yield Window(count - span, tuple(recent)[::rate])


def windows_with_context(frames: Iterable[T], windowing: Windowing) -> Generator[Window[T]]:
    """Cut a stream into the windows of `sliding_windows` and windows over its ends, and yield them by their starts.

    The frames before the first and after the last are mirrored for half a window, so that a frame at an end is also in
    the middle of a window. Starts before the clip are below 0. A clip of a single frame, such as a picture, has no
    context.
    """
    span = windowing.span
    stream = iter(frames)
    first = list(islice(stream, span + 1))  # all frames of windows that begin before the clip
    half = max(0, min(span // 2, len(first) - 1))
    if len(first) > 1:
        for start in range(-half, 0, windowing.stride):
            yield _mirrored(first, start, windowing)
    last: deque[T] = deque(maxlen=span + 1)
    count = 0

    def counted() -> Iterator[T]:
        nonlocal count
        for frame in chain(first, stream):
            count += 1
            last.append(frame)
            yield frame

    yield from sliding_windows(counted(), windowing)
    end = max(0, count - span)  # start of the last window
    for offset in reversed(range(half, 0, -windowing.stride)):
        if count > 1 and end + offset < count:
            window = _mirrored(list(last), end + offset - count + len(last), windowing)
            yield replace(window, start=end + offset)


def _mirrored(frames: Sequence[T], start: int, windowing: Windowing) -> Window[T]:
    """Return the window that starts at a frame of a list, with the list mirrored at both ends."""
    period = 2 * (len(frames) - 1)
    at = ((start + step * windowing.sampling_rate) % period for step in range(windowing.length))
    return Window(start, tuple(frames[min(index, period - index)] for index in at))


@dataclass(frozen=True)
class Span(Generic[T]):
    """Frames, a sampling rate apart, that hold several windows.

    Attributes:
        first: number of such frames of the clip before these.
        frames: the frames.
        starts: frame of the stream that each window begins at.
        padded: number of repeated frames at the end.
    """

    first: int
    frames: tuple[T, ...]
    starts: tuple[int, ...]
    padded: int = 0


def long_spans(frames: Iterable[T], windowing: Windowing, length: int, unit: int) -> Iterator[Span[T]]:
    """Cut a stream into long, overlapping spans that hold the windows of `sliding_windows`, and yield them.

    The margin between a window and an end of its span is at least one window less `unit`, except at the ends of the
    clip.

    Args:
        frames: of the clip.
        windowing: length, stride and sampling rate of the windows.
        length: frames of a span, at least four windows.
        unit: every span begins at a multiple of this number of sampled frames.

    Raises:
        SettingsError: a span is shorter than four windows.
    """
    rate, window = windowing.sampling_rate, windowing.length
    if length < 4 * window:
        raise SettingsError(
            f"a span of {counted(length, 'frame')} is too short for windows of {window}; give {4 * window} or more"
        )
    held: list[T] = []
    first = start = count = 0
    newest: list[T] = []
    for frame in frames:
        if count % rate == 0:
            if len(held) == length:
                last = (first + length - window) * rate
                starts = tuple(range(start, last - windowing.span + 1, windowing.stride))
                yield Span(first, tuple(held), starts)
                start = starts[-1] + windowing.stride
                kept = max(first, (start // rate - window) // unit * unit)
                del held[: kept - first]
                first = kept
            held.append(frame)
        newest = [frame]
        count += 1
    if 0 < count < windowing.span:
        padded = window - len(held)
        yield Span(0, tuple(held + newest * padded), (0,), padded)
    elif count:
        starts = tuple(range(start, count - windowing.span + 1, windowing.stride))
        last = count - windowing.span
        yield Span(first, tuple(held), starts if starts and starts[-1] == last else (*starts, last))
