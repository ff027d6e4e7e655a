"""Frames of a live source, each with the times at which it was taken and arrived."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class LiveFrame:
    """One upright frame of a live source.

    Attributes:
        index: from 0, over the whole run.
        stretch: number of the stretch without a break that it belongs to, from 0. A new one begins where the source
            was connected again, paused, set its clock anew or changed its size.
        time: seconds on the clock of the run, at which the frame was taken.
        arrived: seconds on the monotonic clock, at which it was decoded here.
        captured: seconds on the monotonic clock, at which it was taken, as far as is known here: of a stream the time by
            its own clock, beside the frame that came fastest, so that the time in buffers counts; otherwise `arrived`.
        frame_rate: frames per second that the source announces.
        pixels: (H, W, 3) uint8 RGB.
    """

    index: int
    stretch: int
    time: float
    arrived: float
    captured: float
    frame_rate: float
    pixels: np.ndarray = field(repr=False)
