"""Explanation: what one run yields, and what every output is a function of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.results.exporter import exporter
from vidcam.results.outputs import Outputs
from vidcam.results.result import Result


@dataclass(frozen=True)
class ExplainedTarget:
    """What was explained: a class, or (index None) a function of the output, whose mean value stands for probability."""

    index: int | None
    label: str
    probability: float


@dataclass(frozen=True)
class Curve:
    """Four columns of F rows: frame index, time in seconds, score and evidence of the target."""

    frame: np.ndarray
    time: np.ndarray
    score: np.ndarray
    evidence: np.ndarray


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation(Result):
    """Why a network saw a target in a clip: where and when.

    Attributes:
        clip, model, layer, method, region, times, stretch, warnings, timings, source: see `Result`.
        weights: where the model's parameters came from.
        target: what was explained.
        top: the clip's five most probable classes, (label, probability).
        size: (height, width) of the upright frame in pixels.
        maps: (F, h, w) float32, raw heatmaps at the resolution of the target layer, comparable over the clip.
        scores: (F,) float32, the target's probability around each frame.
        evidence: (F,) float32, the spatial mean of each raw map.
        window_starts: (W,) source frame of each window.
        window_scores: (W,) the target's probability in each window.
        windowing: length, stride and sampling rate of the windows.
        computation: the trunk's dtype, and how closely its maps agree with the plain computation.
        versions: of vidcam and of the packages that it computed with.
    """

    weights: str
    target: ExplainedTarget
    top: tuple[tuple[str, float], ...]
    size: tuple[int, int]
    maps: np.ndarray
    scores: np.ndarray
    evidence: np.ndarray
    window_starts: np.ndarray
    window_scores: np.ndarray
    windowing: dict[str, int]
    computation: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        target = f"{self.target.label!r}, probability {self.target.probability:.3f}"
        return (
            f"<Explanation of {self.clip!r}: {target}, {self.frames} frames, "
            f"by {self.method} at {self.layer} of {self.model}>"
        )

    @property
    def curve(self) -> Curve:
        """Score and evidence over the clip."""
        return Curve(np.arange(self.frames), self.times, self.scores, self.evidence)

    @cached_property
    def peak(self) -> float:
        """The largest value of the raw maps: what the colour scale ends at."""
        return float(self.maps.max(initial=0.0))

    def heatmap(self, frame: int, peak: float | None = None) -> np.ndarray:
        """The heatmap of a source frame on the whole upright picture: (H, W) float32 in [0, 1].

        1 is the strongest evidence of the whole clip, the same for every frame. Interpolated bilinearly inside the
        region that the network sees; 0 outside. A clip without any evidence gives zeros.

        Args:
            frame: index of the frame.
            peak: the raw heat that is 1, where several explanations share one scale; this one's own by default.

        Raises:
            IndexError: there is no such frame.
        """
        if not 0 <= frame < self.frames:
            raise IndexError(f"frame {frame} of a clip of {self.frames} frames")
        rows, columns = self._placement
        scale = self.peak if peak is None else peak
        return rows @ (self.maps[frame] / (scale or 1.0)) @ columns.T

    @cached_property
    def _placement(self) -> tuple[np.ndarray, np.ndarray]:
        left, top, right, bottom = self.region
        (height, width), (_, h, w) = self.size, self.maps.shape
        return _placement(height, top, bottom, h), _placement(width, left, right, w)

    def summary(self) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON."""
        return {
            "clip": self.clip,
            "model": self.model,
            "weights": self.weights,
            "layer": self.layer,
            "method": self.method,
            "target": {
                "index": self.target.index,
                "label": self.target.label,
                "probability": self.target.probability,
            },
            "top": [{"label": label, "probability": probability} for label, probability in self.top],
            "frames": self.frames,
            "windows": len(self.window_starts),
            "windowing": self.windowing,
            "stretch": list(self.stretch),
            "size": list(self.size),
            "region": list(self.region),
            "computation": self.computation,
            "timings": self.timings,
            "versions": self.versions,
            "warnings": list(self.warnings),
        }

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Outputs:
        """Write overlay.mp4, curve.png, curve.csv, explanation.npz and summary.json into a directory.

        The clip is decoded once for the overlay. The files appear under their names when all are complete.

        Raises:
            OutputError: one of them exists and `overwrite` is not set, or the directory cannot be written.
            ClipError: the clip has changed or is gone.
        """
        outputs: Outputs = exporter().save(self, Path(directory), overwrite=overwrite)
        return outputs

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays as they are stored in explanation.npz."""
        return {
            "times": self.times,
            "maps": self.maps,
            "scores": self.scores,
            "evidence": self.evidence,
            "window_starts": self.window_starts,
            "window_scores": self.window_scores,
        }


def _placement(pixels: int, start: float, end: float, cells: int) -> np.ndarray:
    """(pixels, cells): the share of each cell of a map in each pixel, the map laid over [start, end)."""
    centres = np.arange(pixels) + 0.5
    at = np.clip((centres - start) / (end - start) * cells - 0.5, 0, cells - 1)
    shares = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells)[None, :]))
    shares[(centres < start) | (centres >= end)] = 0
    return shares.astype(np.float32)
