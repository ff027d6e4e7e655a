"""Clock: frames at instants of a constant rate, so that windows last equally long in clips of every frame rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, floor
from typing import TypeVar

T = TypeVar("T")

EARLIEST = 0.25
"""Seconds that a frame is shown before its own time at most; in a longer gap the frame before it stays, as in players."""

_ROUNDING = 1e-6  # of an instant's number; an instant in the middle between two frames shows the second


def at_rate(
    frames: Iterable[tuple[float, T]], rate: float, *, last: float, most: int
) -> Iterator[tuple[float, int, T]]:
    """Yield the frame that is nearest to each instant, at a constant rate from the first frame's time on.

    A clip of that rate gives each of its frames once; a frame of a slower one is repeated, and of a faster one some are
    left out. Each instant is yielded as its time in seconds, the frame's index and the frame.

    Args:
        frames: times in seconds, increasing, and frames.
        rate: instants per second.
        last: seconds that the last frame lasts; instants after its time end half a step before the clip does.
        most: windows of up to this number of instants are cut from the result. Of a frame that is repeated more than
            twice as often, only the first and the last `most` instants are yielded, as all windows between are the same.

    Example:
        >>> [index for _, index, _ in at_rate([(0.0, "a"), (0.25, "b"), (1.0, "c")], rate=4, last=0.25, most=16)]
        [0, 1, 1, 1, 2]
    """
    number = 0  # of the next instant
    begin = 0.0
    before: tuple[float, int, T] | None = None
    for index, (seconds, frame) in enumerate(frames):
        if before is None:
            begin = seconds
        else:
            middle = max((before[0] + seconds) / 2, seconds - EARLIEST)
            end = ceil((middle - begin) * rate - _ROUNDING)
            yield from _repeated(before, number, end, begin, rate, most)
            number = max(number, end)
        before = seconds, index, frame
    if before is not None:
        ends = max(before[0], before[0] + last - 0.5 / rate)
        end = floor((ends - begin) * rate + _ROUNDING) + 1
        yield from _repeated(before, number, end, begin, rate, most)


def _repeated(
    shown: tuple[float, int, T], number: int, end: int, begin: float, rate: float, most: int
) -> Iterator[tuple[float, int, T]]:
    for n in range(number, end):
        if n == number + most and end - number > 2 * most:
            break
        yield begin + n / rate, *shown[1:]
    else:
        return
    for n in range(end - most, end):
        yield begin + n / rate, *shown[1:]
