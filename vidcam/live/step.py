"""Step: one frame of a live run with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vidcam.live.frame import LiveFrame
from vidcam.live.segments import OnlineSegment
from vidcam.live.window import ExplainedWindow


@dataclass(frozen=True)
class Step:
    """One frame of a live run, explained by the windows that hold it.

    Attributes:
        frame: the frame, with its time and pixels.
        label: of the class that is shown, or of the target.
        score: of that class around the frame, a probability or a value; None if no window that holds the frame is
            explained.
        scores: (classes,) probabilities, or values, around the frame; None as before.
        heat: (h, w) float32 raw map of the shown class; None as before.
        evidence: spatial mean of the heat; 0 without one.
        scale: raw heat at which the colours end, see `vidcam.live.scale`.
        segments: those that are open.
        closed: segments that ended with this frame.
        windows: windows that were explained since the step before.
        delay: seconds from the frame's capture, see `LiveFrame`, to its overlay.
        overlay: (H', W', 3) uint8 RGB, the picture with its heat, and a strip with label, score, delay and curve.
    """

    frame: LiveFrame
    label: str
    score: float | None
    scores: np.ndarray | None = field(repr=False)
    heat: np.ndarray | None = field(repr=False)
    evidence: float
    scale: float
    segments: tuple[OnlineSegment, ...]
    closed: tuple[OnlineSegment, ...]
    windows: tuple[ExplainedWindow, ...] = field(repr=False)
    delay: float = 0.0
    overlay: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8), repr=False)

    @property
    def time(self) -> float:
        """Seconds of the frame on the clock of the run."""
        return self.frame.time
