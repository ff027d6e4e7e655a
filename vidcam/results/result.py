"""Result: the common part of all results: the clip, the settings, and access to its frames."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.errors import ClipError
from vidcam.results.exporter import exporter
from vidcam.video.fingerprint import fingerprint_of
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource, source_of


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result of one clip.

    Attributes:
        clip: path of the explained file, its URL without secrets, or the name of other frames.
        model, layer, method: names of the network, the target layer and the method.
        region: left, top, right, bottom of the part of the frame that the network sees, in pixels of the frame.
        preprocess: the fields of the network's `vidcam.Preprocess`; None in files of 0.1.
        windowing: length, stride and sampling rate of the windows, and the rate of the instants that these count, in
            instants per second; None if they count source frames.
        times: (F,) float64, presentation time of every source frame in seconds.
        stretch: start and end of the explained part in seconds, each None at the clip's own end.
        frame_rate: frames per second of the clip, on average.
        frame_rate_from: where that is known from, see `vidcam.video.source.FrameSource`.
        warnings: notes for the user.
        timings: seconds spent, by stage.
        fingerprint: of the source, see `vidcam.video.fingerprint.fingerprint_of`; "" if it has none.
        source: the frames, to be read again; not stored.
    """

    clip: str
    model: str
    layer: str
    method: str
    region: tuple[float, float, float, float]
    windowing: dict[str, int | float | None]
    times: np.ndarray
    preprocess: dict[str, Any] | None = None
    stretch: tuple[float | None, float | None] = (None, None)
    frame_rate: float = 0.0
    frame_rate_from: str = "assumed"
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    source: FrameSource | None = field(default=None, compare=False, repr=False)

    @property
    def frames(self) -> int:
        """Number of explained source frames."""
        return len(self.times)

    def first_frame(self) -> int:
        """Return the number of frames of the file before the first explained one; of a stretch they are decoded to be counted.

        Raises:
            ClipError: a stretch was explained, and the file is gone.
        """
        if self.stretch[0] is None:
            return 0
        before = Clip(self.clip, end=float(self.times[0]))
        with suppress(ClipError):  # there is none
            return sum(1 for _ in before)
        return 0

    @property
    def file(self) -> Path | None:
        """The explained file; None if the frames come from elsewhere, or it is gone."""
        return Path(self.clip) if Path(self.clip).is_file() else None

    def opened(self) -> FrameSource:
        """Return the explained frames as a source that can be read once more.

        Raises:
            ClipError: they have changed, are gone, or can be read once only.
        """
        source = self._again()
        if self.fingerprint and fingerprint_of(source) not in ("", self.fingerprint):
            raise ClipError(f"{self.clip} has changed since it was explained; explain it again")
        return source

    def _again(self) -> FrameSource:
        if self.source is not None:
            return self.source.reopened()
        start, end = self.stretch
        if start is not None or end is not None:
            return Clip(self.clip, start=start, end=end)
        lasts = float(self.times[-1] - self.times[0]) if len(self.times) else 0.0
        return source_of(self.clip, None, (len(self.times) - 1) / lasts if lasts > 0 else None)

    def _repr_html_(self) -> str:
        """Return the page that a notebook shows: the clip with its heat, curves, segments and predictions."""
        return exporter().notebook_html(self)
