"""Explanation: the evidence for a target in a clip; every output is a function of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import inf
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidcam.errors import SettingsError, counted
from vidcam.results.check import Check
from vidcam.results.drawing import Drawing
from vidcam.results.exporter import exporter
from vidcam.results.outputs import Outputs
from vidcam.results.result import Result
from vidcam.results.upsampling import Axis, placed, upsampled
from vidcam.temporal.motion import Evidence, MotionShare
from vidcam.untrusted.text import shortened
from vidcam.video.reader import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEANINGLESS = {
    "has random weights": "random weights: this means nothing",
    "its answer about other clips means nothing": "not a clip of this network's kind: this means nothing",
}
"""Words of a warning, and what an overlay says of it; the graver one first."""


def means_nothing(warning: str) -> str:
    """Return what an overlay says of a warning after which an explanation means nothing; "" for other warnings.

    Example:
        >>> means_nothing("r3d_18 has random weights: its explanations mean nothing"), means_nothing("the clip is short")
        ('random weights: this means nothing', '')
    """
    return next((text for words, text in _MEANINGLESS.items() if words in warning), "")


@dataclass(frozen=True)
class ExplainedTarget:
    """The explained target.

    Attributes:
        index: of the class, or None for a function of the network's output.
        label: of the class, or a name of the function.
        probability: of the class in the clip; None if the target is a value.
        value: mean over the windows of a function, or of a value that the network gives; None for a probability.
        unit: of the value, or "".
    """

    index: int | None
    label: str
    probability: float | None
    value: float | None = None
    unit: str = ""

    @property
    def is_probability(self) -> bool:
        """True if the target's scores are probabilities."""
        return self.probability is not None

    def written(self, score: float | None = None) -> str:
        """Return a score of the target as text: a probability with three digits, or a value with its unit.

        Args:
            score: by default that of the clip.
        """
        if score is None:
            score = self.value if self.probability is None else self.probability
        return f"{score:.3f}" if self.is_probability else f"{score:.4g} {self.unit}".rstrip()

    def named(self) -> str:
        """Return the score of the clip with its name, the same in every output.

        Example:
            >>> ExplainedTarget(3, "waving", 0.9125).named(), ExplainedTarget(None, "age", None, 29.45, "years").named()
            ('probability 0.912', 'value 29.45 years')
        """
        return f"{'probability' if self.is_probability else 'value'} {self.written()}"


@dataclass(frozen=True)
class Curve:
    """Four columns of F rows: frame index, time in seconds, score and evidence of the target."""

    frame: np.ndarray
    time: np.ndarray
    score: np.ndarray
    evidence: np.ndarray


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation(Result):
    """Explanation of a target in a clip: heatmaps over space and time, and curves over time.

    Attributes:
        clip, model, layer, method, region, preprocess, windowing, times, stretch, frame_rate, frame_rate_from, warnings,
            timings, fingerprint, source: see `Result`.
        weights: where the model's parameters came from.
        target: the explained target.
        top: the clip's five most probable classes, (label, probability); none if the network gives no probabilities.
        size: (height, width) of the upright frame in pixels.
        maps: (F, h, w) float32, raw heatmaps at the resolution of the target layer, comparable over the clip.
        scores: (F,) float32, the target's probability around each frame, or its value.
        evidence: (F,) float32, the spatial mean of each raw map.
        window_starts: (W,) source frame of each window.
        window_scores: (W,) the target's probability in each window, or its value.
        kind: of the evidence: whole, motion or appearance, see `vidcam.temporal.motion`.
        scale: raw heat and evidence at which colours and curves end; None for the largest of maps and evidence. Motion and
            appearance have those of the whole evidence, so that they compare.
        motion: the motion share; None if the evidence is the whole and no frozen windows were run.
        computation: the trunk's dtype, and the agreement of its maps with those of float32.
        check: the test that hiding its hottest parts costs more of the score than random ones; None if it was not made.
        versions: of vidcam and of the packages that it computed with.
        drawing: settings of its films and pictures.

    Example:
        >>> import vidcam
        >>> frames = np.zeros((16, 112, 112, 3), np.uint8)
        >>> explanation = vidcam.explain(frames, "playground-r2plus1d", frame_rate=16)
        >>> explanation.maps.shape, explanation.heatmap(0).shape
        ((16, 14, 14), (112, 112))
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
    kind: Evidence = "whole"
    scale: tuple[float, float] | None = None
    motion: MotionShare | None = None
    computation: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    check: Check | None = None
    drawing: Drawing = field(default_factory=Drawing)

    def __repr__(self) -> str:
        target = f"{self.target.label!r}, {self.target.named()}"
        return (
            f"<Explanation of {self.clip!r}: {target}, {counted(self.frames, 'frame')}, "
            f"by {self.method} at {self.layer} of {self.model}>"
        )

    @property
    def curve(self) -> Curve:
        """Score and evidence over the clip."""
        return Curve(np.arange(self.frames), self.times, self.scores, self.evidence)

    @cached_property
    def peak(self) -> float:
        """The raw heat at which the colour scale ends; 0 if there is no heat."""
        largest = float(self.maps.max(initial=0.0))
        return largest if self.scale is None or not largest else self.scale[0]

    @property
    def highest(self) -> float:
        """The raw evidence at which the scale of the curve ends."""
        return float(self.evidence.max(initial=0.0)) if self.scale is None else self.scale[1]

    @property
    def title(self) -> str:
        """The target, and the kind of evidence with the motion share if the evidence is not the whole."""
        if self.motion is None:
            return self.target.label
        share = "undefined" if self.motion.share is None else f"{self.motion.share:.2f}"
        return f"{self.target.label}, {self.kind} (motion share {share})"

    @property
    def meaningless(self) -> str:
        """The reason why the explanation means nothing, as an overlay says it; "" if the warnings give none."""
        said = {means_nothing(warning) for warning in self.warnings}
        return next((text for text in _MEANINGLESS.values() if text in said), "")

    def heatmap(self, frame: int, peak: float | None = None) -> np.ndarray:
        """Return the heatmap of a source frame on the whole upright picture: (H, W) float32 in [0, 1].

        1 is the strongest evidence of the whole clip, the same for every frame. Interpolated smoothly inside the region
        that the network sees, see `vidcam.results.upsampling`; 0 outside. A clip without any evidence gives zeros.

        Args:
            frame: index of the frame.
            peak: raw heat that becomes 1, 0 or more; this explanation's peak by default. Give one value to compare explanations.

        Raises:
            SettingsError: there is no such frame, or the peak is none.
        """
        frame = self._index(frame)
        if peak is not None and not 0 <= peak < inf:
            raise SettingsError(f"peak is {peak}; give a raw heat of 0 or more, or None for that of the explanation")
        (above, rows), (across, columns) = self._placement
        scale = (self.peak if peak is None else peak) or 1.0
        heat = np.zeros(self.size, np.float32)
        heat[above, across] = upsampled(self.maps[frame] / scale, rows, columns)
        return heat

    def overlay(
        self,
        frame: int | Frame,
        pixels: np.ndarray | None = None,
        *,
        cmap: str | None = None,
        alpha: float | None = None,
    ) -> np.ndarray:
        """Return a frame with its heat drawn in the style of `drawing`, without a strip: (H, W, 3) uint8 RGB.

        Args:
            frame: index of the frame, or a frame of `vidcam.video.reader.Clip`, whose pixels are taken.
            pixels: of the whole upright frame, (H, W, 3) uint8 RGB in any size, for a loop of one's own; by default those
                of the clip, which is decoded up to the frame. `overlays` decodes all frames once.
            cmap: colour map in place of `drawing`'s, see `vidcam.results.drawing.Drawing`.
            alpha: opacity at the strongest heat in place of `drawing`'s.

        Raises:
            SettingsError: there is no such frame, the pixels are no RGB picture, or cmap or alpha has a wrong value.
            ClipError: the clip has changed, is gone, or can be read once only.

        Example:
            >>> import vidcam
            >>> frames = np.zeros((16, 112, 112, 3), np.uint8)
            >>> explanation = vidcam.explain(frames, "playground-r2plus1d", frame_rate=16)
            >>> explanation.overlay(3, cmap="viridis", alpha=0.6).shape, explanation.overlay(3, frames[3]).dtype
            ((112, 112, 3), dtype('uint8'))
        """
        if isinstance(frame, Frame):
            pixels = frame.pixels if pixels is None else pixels
            frame = frame.index
        return exporter().overlay(self._drawn(cmap, alpha), self._index(frame), pixels)

    def overlays(self, *, cmap: str | None = None, alpha: float | None = None) -> Iterator[np.ndarray]:
        """Return an iterator over all frames of the clip with their heat, as `overlay` returns them; it decodes them once.

        Args:
            cmap, alpha: as for `overlay`.

        Raises:
            SettingsError: cmap or alpha has a wrong value.
            ClipError: the clip has changed, is gone, or can be read once only.

        Example:
            >>> import vidcam
            >>> explanation = vidcam.explain(np.zeros((16, 112, 112, 3), np.uint8), frame_rate=16)
            >>> [picture.shape for picture in explanation.overlays()] == [(112, 112, 3)] * 16
            True
        """
        return exporter().overlays(self._drawn(cmap, alpha))

    def _index(self, frame: int) -> int:
        """Return the index of a frame as Python's int.

        Raises:
            SettingsError: there is no such frame.
        """
        if isinstance(frame, bool) or not isinstance(frame, Integral) or not 0 <= frame < self.frames:
            raise SettingsError(
                f"there is no frame {shortened(frame)} in a clip of {counted(self.frames, 'frame')}; give a whole number from 0 "
                f"to {self.frames - 1}"
            )
        return int(frame)

    def _drawn(self, cmap: str | None, alpha: float | None) -> Explanation:
        drawing = self.drawing if cmap is None else replace(self.drawing, colormap=cmap)
        return replace(self, drawing=drawing if alpha is None else replace(drawing, opacity=alpha))

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw score and evidence over seconds with matplotlib, and return the axes.

        Args:
            axes: to draw into; by default those of a new figure of `matplotlib.pyplot`.

        Example:
            >>> import matplotlib.pyplot, vidcam
            >>> explanation = vidcam.explain(np.zeros((16, 112, 112, 3), np.uint8), frame_rate=16)
            >>> axes = explanation.plot(matplotlib.pyplot.figure().add_subplot())
            >>> axes.get_xlabel()
            'time (s)'
        """
        return exporter().plot(self, axes)

    @cached_property
    def _placement(self) -> tuple[tuple[slice, Axis], tuple[slice, Axis]]:
        """The pixels of the region along both axes, and their positions in a map."""
        left, top, right, bottom = self.region
        (height, width), (_, h, w) = self.size, self.maps.shape
        return placed(height, top, bottom, h), placed(width, left, right, w)

    def summary(self) -> dict[str, Any]:
        """Return everything except the arrays, ready for JSON."""
        return {
            "clip": self.clip,
            "model": self.model,
            "weights": self.weights,
            "layer": self.layer,
            "method": self.method,
            "kind": self.kind,
            "scale": None if self.scale is None else list(self.scale),
            "motion": None if self.motion is None else self._motion(self.motion),
            "target": {
                "index": self.target.index,
                "label": self.target.label,
                "probability": self.target.probability,
                "value": self.target.value,
                "unit": self.target.unit,
            },
            "top": [{"label": label, "probability": probability} for label, probability in self.top],
            "frames": self.frames,
            "frame_rate": self.frame_rate,
            "frame_rate_from": self.frame_rate_from,
            "windows": len(self.window_starts),
            "windowing": self.windowing,
            "stretch": list(self.stretch),
            "size": list(self.size),
            "region": list(self.region),
            "preprocess": self.preprocess,
            "fingerprint": self.fingerprint,
            "computation": self.computation,
            "check": None if self.check is None else {**asdict(self.check), "passed": self.check.passed},
            "timings": self.timings,
            "versions": self.versions,
            "drawing": asdict(self.drawing),
            "warnings": list(self.warnings),
        }

    def _motion(self, motion: MotionShare) -> dict[str, Any]:
        windows = [
            {"start_frame": int(start), "share": share, "low": low, "high": high}
            for start, share, (low, high) in zip(
                self.window_starts, _without_nan(motion.windows), _without_nan(motion.window_range)
            )
        ]
        return {
            "share": motion.share,
            "low": motion.low,
            "high": motion.high,
            "unclamped": motion.unclamped,
            "undefined": motion.undefined,
            "frozen": [{"label": label, "windows": count} for label, count in motion.frozen],
            "windows": windows,
        }

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Outputs:
        """Write overlay.mp4, curve.png, curve.csv, explanation.npz and summary.json, and return their paths.

        If `drawing` asks for other formats or highlights, these lie beside them: overlay.webm, overlay.gif, overlay.webp,
        strongest.png, highlights.mp4. The clip is decoded once for all. The files appear under their names when all are
        complete.

        Args:
            directory: made if it does not exist.
            overwrite: True to replace files that exist, and to remove those of formats that are not asked for now.

        Raises:
            OutputError: one of them exists and `overwrite` is not set, or the directory cannot be written.
            ClipError: the clip has changed, is gone, or can be read once only.
        """
        outputs: Outputs = exporter().save(self, Path(directory), overwrite=overwrite)
        return outputs

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that explanation.npz stores, by name."""
        shares = {} if self.motion is None else {"motion_share": self.motion.frames}
        return {
            "times": self.times,
            "maps": self.maps,
            "scores": self.scores,
            "evidence": self.evidence,
            "window_starts": self.window_starts,
            "window_scores": self.window_scores,
            **shares,
        }


def _without_nan(values: np.ndarray) -> Any:
    """Return numbers as lists, with None in place of NaN, ready for JSON."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return plain.tolist()
