"""When: a clip's classes over time, cut into segments. The network's own labels are all it is told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from torch import nn

from vidcam.attribution import Key
from vidcam.cam.methods import method_named
from vidcam.cam.targets import class_index, top_count
from vidcam.errors import TargetError, one_of
from vidcam.models.registry import Model
from vidcam.pipeline import attributions, checked_layers, loaded_model, reading_of
from vidcam.reading import Progress
from vidcam.temporal.curves import Reduction, combined_curve, evidence_curve
from vidcam.temporal.segments import Segment, SegmentRule, segments_of
from vidcam.temporal.stitch import stitch
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource, Source

if TYPE_CHECKING:
    from vidcam.render.timeline import LocalizationOutputs

CurveName = Literal["score", "evidence", "combined"]

_OVERLAP = 4  # windows that see each frame
_PER_WINDOW = 3  # classes explained in a window, its own most probable ones


@dataclass(frozen=True)
class Localization:
    """Classes of a clip over time.

    Attributes:
        clip: path of the file.
        model, layer, method: how it was explained.
        region: left, top, right, bottom of the part of the frame that the network sees, in its pixels.
        times: (F,) seconds, of every source frame.
        labels: K classes, the one with the highest curve first.
        scores: (K, F) probability of each class around each frame.
        evidence: (K, F) the raw heatmaps of each class reduced over space.
        maps: (K, F, h, w) the raw heatmaps, 0 in windows where a class was not among the likely ones.
        curve: what the segments were cut from.
        segments: best first.
        warnings: what the user should know.
        timings: seconds spent.
        source: the frames, to be read again.
    """

    clip: str
    model: str
    layer: str
    method: str
    region: tuple[float, float, float, float]
    times: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray
    evidence: np.ndarray
    maps: np.ndarray
    curve: CurveName
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...]
    timings: dict[str, float]
    source: FrameSource | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        return (
            f"<Localization of {self.clip!r}: {len(self.segments)} segments of {', '.join(self.labels)}, "
            f"{len(self.times)} frames, by {self.method} at {self.layer} of {self.model}>"
        )

    def opened(self) -> FrameSource:
        """The frames, to be read once more.

        Raises:
            ClipError: they are gone, or can be read once only.
        """
        return self.source.reopened() if self.source is not None else Clip(self.clip)

    def curves(self, name: CurveName | None = None) -> np.ndarray:
        """(K, F) curves of that name; by default those the segments were cut from.

        Raises:
            SettingsError: there is no curve of that name.
        """
        name = one_of(self.curve if name is None else name, get_args(CurveName), "curve")
        if name == "score":
            return self.scores
        return self.evidence if name == "evidence" else combined_curve(self.scores, self.evidence)

    def cut(self, name: CurveName, rule: SegmentRule = SegmentRule()) -> tuple[Segment, ...]:
        """The segments of another curve or rule, best first; the network is not run again."""
        found: list[Segment] = []
        curves = self.curves(name)
        if name == "evidence":  # its unit is the layer's: what the rule asks for is a share of the clip's highest
            curves = curves / (curves.max(initial=0.0) or 1.0)
        for label, curve in zip(self.labels, curves):
            found += segments_of(curve, self.times, label, rule)
        return tuple(sorted(found, key=lambda s: -s.score))

    def _repr_html_(self) -> str:
        """What a notebook shows: the clip, its curves and segments."""
        from vidcam.report.page import framed

        return framed(self)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> LocalizationOutputs:
        """Write segments.json, segments.csv, segments.vtt and timeline.png into a directory.

        Raises:
            OutputError: one of them exists and `overwrite` is not set, or the directory cannot be written.
        """
        from vidcam.render.timeline import save

        return save(self, Path(directory), overwrite=overwrite)


def localize(
    clip: Source,
    model: str | Model | nn.Module = "playground-r2plus1d",
    classes: str | Sequence[str | int] = "top5",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    curve: CurveName = "combined",
    evidence: Reduction = "mean",
    rule: SegmentRule = SegmentRule(),
    stride: int | None = None,
    sampling_rate: int | None = None,
    frame_rate: float | None = None,
    dtype: str = "auto",
    dense: bool = False,
    device: str | None = None,
    progress: Progress = lambda done, announced: None,
) -> Localization:
    """Find when the classes of a clip happen, in one reading of it.

    Args:
        clip: as for `vidcam.explain`.
        model: as for `vidcam.explain`.
        classes: "top5" for the five classes with the highest curves, or labels or indices.
        weights: "default", "none" or a file; used where `model` is a name.
        layer, method: as for `vidcam.explain`; one of each.
        curve: what is cut: the score, the evidence, or both combined (`combined_curve`).
        evidence: how a heatmap becomes one number of the curve: its mean, its max, or the mean of its top tenth.
        rule: how it is cut.
        stride: source frames between windows; a quarter of a window by default.
        sampling_rate, frame_rate, dtype, dense, device: as for `vidcam.explain`.
        progress: told how far the reading is.

    Raises:
        VidcamError: the clip, model, layer, classes or a setting cannot be used.
    """
    return localize_by_each(
        clip,
        loaded_model(model, weights, device),
        classes,
        layer=layer,
        methods=[method],
        curve=curve,
        evidence=evidence,
        rule=rule,
        stride=stride,
        sampling_rate=sampling_rate,
        frame_rate=frame_rate,
        dtype=dtype,
        dense=dense,
        progress=progress,
    )[0]


def localize_by_each(
    clip: Source,
    model: Model,
    classes: str | Sequence[str | int] = "top5",
    *,
    layer: str = "auto",
    methods: Sequence[str],
    curve: CurveName = "combined",
    evidence: Reduction = "mean",
    rule: SegmentRule = SegmentRule(),
    stride: int | None = None,
    sampling_rate: int | None = None,
    frame_rate: float | None = None,
    dtype: str = "auto",
    dense: bool = False,
    progress: Progress = lambda done, announced: None,
) -> list[Localization]:
    """`localize` by several methods in one reading; arguments and errors as there."""
    (name,) = layers = checked_layers(model, layer, most=1)
    for method in methods:
        method_named(method)
    one_of(curve, get_args(CurveName), "curve")
    one_of(evidence, get_args(Reduction), "evidence")
    count = top_count(classes) if isinstance(classes, str) else None
    if count is None:
        wanted = [classes] if isinstance(classes, str) else list(classes)
        fixed = list(dict.fromkeys(class_index(c, model.labels) for c in wanted))
        if not fixed:
            raise TargetError("no class is asked for; give top5, or labels")
    else:
        fixed = []
    reading = reading_of(
        clip,
        model,
        layers,
        methods,
        stride=stride,
        sampling_rate=sampling_rate,
        frame_rate=frame_rate,
        overlap=_OVERLAP,
        dtype=dtype,
        dense=dense,
        progress=progress,
    )
    windowing = reading.windowing

    def likely(probabilities: np.ndarray) -> list[list[int]]:
        if fixed:
            return [fixed] * len(probabilities)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [[int(k) for k in row if k != model.background][:_PER_WINDOW] for row in order]

    starts: list[int] = []
    seen: list[np.ndarray] = []
    heats: list[dict[tuple[str, Key], np.ndarray]] = []
    for some, probabilities, maps in attributions(reading, layers, methods, likely):
        starts += some
        seen.append(probabilities)
        heats += [{(m, k): found.heat[m, name] for k, found in of.items() for m in methods} for of in maps]
    probabilities = np.concatenate(seen)
    none = np.zeros_like(next(iter(heats[0].values())))
    candidates = fixed or sorted({k for of in heats for _, k in of if isinstance(k, int)})
    frames, times = len(reading.times), np.array(reading.times)
    scores = np.stack([stitch(probabilities[:, [k]], starts, frames, windowing) for k in candidates])
    best = np.argsort(-scores.max(axis=1), kind="stable")[: count or None]
    kept = [candidates[i] for i in best]
    found = []
    for method in methods:
        of_classes = [[of.get((method, k), none) for of in heats] for k in kept]
        curves = [[evidence_curve(heat, evidence) for heat in of_class] for of_class in of_classes]
        whole = Localization(
            clip=reading.clip.name,
            model=model.spec.name,
            layer=name,
            method=method,
            region=model.spec.preprocess.region(reading.clip.height, reading.clip.width),
            times=times,
            labels=tuple(model.labels[k] for k in kept),
            scores=scores[best],
            evidence=np.stack([stitch(of_class, starts, frames, windowing) for of_class in curves]),
            maps=np.stack([stitch(of_class, starts, frames, windowing) for of_class in of_classes]),
            curve=curve,
            segments=(),
            warnings=reading.warnings(),
            timings={"localize_s": round(time.perf_counter() - reading.began, 3)},
            source=reading.clip,
        )
        found.append(replace(whole, segments=whole.cut(curve, rule)))
    return found
