"""Localization: classes of a clip over time, cut into segments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vidcam.errors import counted, one_of
from vidcam.results.exporter import exporter
from vidcam.results.outputs import LocalizationOutputs
from vidcam.results.result import Result
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, SegmentParams, segments_of

CurveName = Literal["score", "evidence", "combined"]
CURVES: tuple[CurveName, ...] = get_args(CurveName)


@dataclass(frozen=True, kw_only=True, repr=False)
class Localization(Result):
    """Localization of classes in time: curves over a clip, cut into segments.

    Attributes:
        clip, model, layer, method, region, preprocess, windowing, times, stretch, frame_rate, frame_rate_from, warnings,
            timings, fingerprint, source: see `Result`.
        labels: K classes, the one with the highest curve first.
        scores: (K, F) probability of each class around each frame.
        evidence: (K, F) the raw heatmaps of each class reduced over space.
        maps: (K, F, h, w) the raw heatmaps, 0 in windows where a class was not among the likely ones.
        curve: name of the curve that the segments were cut from.
        segments: best first.

    Example:
        >>> import vidcam
        >>> frames = np.zeros((32, 112, 112, 3), np.uint8)
        >>> found = vidcam.localize(frames, "playground-r2plus1d", "top3", frame_rate=16)
        >>> len(found.labels), found.curves("score").shape
        (3, (3, 32))
    """

    labels: tuple[str, ...]
    scores: np.ndarray
    evidence: np.ndarray
    maps: np.ndarray
    curve: CurveName
    segments: tuple[Segment, ...]

    def __repr__(self) -> str:
        return (
            f"<Localization of {self.clip!r}: {counted(len(self.segments), 'segment')} of {', '.join(self.labels)}, "
            f"{counted(len(self.times), 'frame')}, by {self.method} at {self.layer} of {self.model}>"
        )

    def curves(self, name: CurveName | None = None) -> np.ndarray:
        """Return the curves of that name, (K, F); by default those the segments were cut from.

        Raises:
            SettingsError: there is no curve of that name.
        """
        name = one_of(self.curve if name is None else name, CURVES, "curve")
        if name == "score":
            return self.scores
        return self.evidence if name == "evidence" else combined_curve(self.scores, self.evidence)

    def cut(self, name: CurveName, params: SegmentParams = SegmentParams()) -> tuple[Segment, ...]:
        """Return the segments of another curve or with other parameters, best first; the network is not run again.

        Args:
            name: of the curve.
            params: how it is cut.

        Raises:
            SettingsError: there is no curve of that name.
        """
        found: list[Segment] = []
        curves = self.curves(name)
        if name == "evidence":  # its unit is the layer's: what the params asks for is a share of the clip's highest
            curves = curves / (curves.max(initial=0.0) or 1.0)
        for label, curve in zip(self.labels, curves):
            found += segments_of(curve, self.times, label, params)
        return tuple(sorted(found, key=lambda s: -s.score))

    def save(self, directory: str | Path, *, overwrite: bool = False) -> LocalizationOutputs:
        """Write segments.json, segments.csv, segments.vtt and timeline.png into a directory and return their paths.

        Args:
            directory: made if it does not exist.
            overwrite: True to replace files that exist.

        Raises:
            OutputError: one of them exists and `overwrite` is not set, or the directory cannot be written.
        """
        outputs: LocalizationOutputs = exporter().save(self, Path(directory), overwrite=overwrite)
        return outputs
