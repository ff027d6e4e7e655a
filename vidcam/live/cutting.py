"""Cutting a live source into windows: each stretch on its own, at instants of a constant rate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby

import numpy as np

from vidcam.live.frame import LiveFrame
from vidcam.live.ring import PlacedFrame, Ring
from vidcam.live.window import LiveWindow
from vidcam.models.preprocess import Preprocess
from vidcam.video.clock import at_rate
from vidcam.video.windows import Windowing, sliding_windows


def cut(
    frames: Iterable[LiveFrame], ring: Ring, preprocess: Preprocess, windowing_at: Callable[[float], Windowing]
) -> None:
    """Read a source to its end: put its frames into the ring, and offer its windows to the network.

    The windows of a stretch are those of a clip with the same frames, without those over its ends.

    Args:
        frames: of the source.
        ring: takes frames and windows.
        preprocess: resizes the frames for the network.
        windowing_at: returns the windowing for a frame rate.
    """
    for _, stretch in groupby(frames, lambda frame: frame.stretch):
        _cut_stretch(stretch, ring, preprocess, windowing_at)


def _cut_stretch(
    frames: Iterator[LiveFrame], ring: Ring, preprocess: Preprocess, windowing_at: Callable[[float], Windowing]
) -> None:
    first = next(frames)
    windowing = windowing_at(first.frame_rate)

    def resized() -> Iterator[tuple[float, np.ndarray]]:
        for index, frame in enumerate(chain([first], frames)):
            position = index if windowing.rate is None else (frame.time - first.time) * windowing.rate
            ring.add(PlacedFrame(frame, float(position), windowing))
            yield frame.time, preprocess.frame(frame.pixels)

    with closing(sliding_windows(_at_instants(resized(), first, windowing), windowing)) as windows:
        for window in windows:
            begins, ends = window.frames[0][0], window.frames[-1][0]
            pixels = tuple(frame for _, frame in window.frames)
            ring.offer(LiveWindow(first.stretch, window.start, begins, ends, windowing, pixels))


def _at_instants(
    frames: Iterator[tuple[float, np.ndarray]], first: LiveFrame, windowing: Windowing
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the seconds of each instant and the frame that it shows."""
    if windowing.rate is None:
        return frames
    instants = at_rate(frames, windowing.rate, last=1 / first.frame_rate, most=sys.maxsize)
    return ((seconds, pixels) for seconds, _, pixels in instants)
