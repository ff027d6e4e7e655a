"""Windows of a live stream, and what the network gave for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vidcam.engine.attribution import Key
from vidcam.temporal.stitch import window_kernel
from vidcam.video.windows import Windowing


@dataclass(frozen=True)
class LiveWindow:
    """A window that can be explained.

    Attributes:
        stretch: that it is in.
        start: instant of the stretch that it begins at, see `vidcam.video.clock`.
        begins, ends: seconds of its first and its last frame on the clock of the run.
        windowing: of the stretch.
        frames: T resized frames (h, w, 3) uint8.
    """

    stretch: int
    start: int
    begins: float
    ends: float
    windowing: Windowing
    frames: tuple[np.ndarray, ...] = field(repr=False)


@dataclass(frozen=True)
class ExplainedWindow:
    """The probabilities and maps of a window.

    Attributes:
        stretch, start, begins, ends, windowing: as of the window.
        curves: (t, classes) probabilities, or values, at each step for which the network has scores.
        maps: target → raw map (t, h, w), times the window's factor.
        scores: target → its probability, value or score before softmax, (t,).
        seconds: that the network took.
    """

    stretch: int
    start: int
    begins: float
    ends: float
    windowing: Windowing
    curves: np.ndarray = field(repr=False)
    maps: dict[Key, np.ndarray] = field(repr=False)
    scores: dict[Key, np.ndarray] = field(repr=False)
    seconds: float

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(classes,), the highest of the steps: a class is in the window if it is there at some time."""
        return np.asarray(self.curves.max(axis=0))


def stitched(values: Iterable[tuple[ExplainedWindow, np.ndarray | None]], position: float) -> np.ndarray | None:
    """Return the value at a position of a stretch, from the windows that hold it, as `vidcam.temporal.stitch` does.

    Between two instants it is interpolated linearly.

    Args:
        values: windows, each with its value at its steps in time, (t, ...), or None for 0.
        position: in instants of the stretch; between two of them for a frame that is none.

    Returns:
        (...) float32; None if no window holds the position, or none that does has a value.
    """
    known = list(values)
    before = int(position)
    share = position - before
    total: np.ndarray | None = None
    weight = 0.0
    for instant, part in ((before, 1.0 - share), (before + 1, share)):
        inside = [(w, v, instant - w.start) for w, v in known if 0 <= instant - w.start < w.windowing.span]
        norm = sum(float(_weights(w)[at]) for w, _, at in inside)
        if part < 1e-6 or not norm:
            continue
        weight += part
        for window, value, at in inside:
            if value is not None:
                kernel = window_kernel(window.windowing, len(value))[at]
                some = np.tensordot(kernel, value, 1) * (part / norm)
                total = some if total is None else total + some
    return None if total is None else (total / weight).astype(np.float32)


def _weights(window: ExplainedWindow) -> np.ndarray:
    return window_kernel(window.windowing, 1)[:, 0]
