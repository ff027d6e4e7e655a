"""Reading of a clip: the maps and scores of its windows, stitched into explanations and localizations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vidcam.cam.input_methods import INPUT, INPUT_METHODS
from vidcam.cam.targets import Contrast, InTime
from vidcam.engine.agreement import Agreement
from vidcam.engine.attribution import Attributed, Attributor, Choose, Key, Maps, WindowMap, step_probabilities
from vidcam.engine.check import check
from vidcam.engine.freezing import attributed_twice, share_of_motion
from vidcam.engine.loader import Batch, WindowLoader
from vidcam.engine.notes import domain_note, heat_notes, passes_note, picture_note, softmax_note
from vidcam.engine.precision import optimized
from vidcam.engine.spans import dense_agreement
from vidcam.engine.versions import versions
from vidcam.errors import TargetError
from vidcam.models.registry import Model, softmax
from vidcam.recipe import Recipe
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.localization import CurveName, Localization
from vidcam.temporal.curves import Reduction, evidence_curve
from vidcam.temporal.factor import Factor, window_factors
from vidcam.temporal.motion import Evidence
from vidcam.temporal.segments import SegmentParams
from vidcam.temporal.stitch import stitch
from vidcam.video.fingerprint import fingerprint_of


class Reading:
    """One reading of a clip by a network, and the results computed from it.

    Args:
        loader: of the clip's windows.
        model: the network; a faster copy is run.
        recipe: how it is explained.
        layers, methods: that the recipe means for this network.
        dtype: that is computed in; "auto" for the fastest whose maps agree.

    Raises:
        ClipError: the clip cannot be read.
    """

    def __init__(
        self,
        loader: WindowLoader,
        model: Model,
        recipe: Recipe,
        layers: Sequence[str],
        methods: Sequence[str],
        dtype: str,
    ) -> None:
        self._loader = loader
        self._fingerprint = fingerprint_of(loader.source)
        with loader.stages.busy("prepare_s"):
            self._model = optimized(model, layers, dtype, loader)
        self._attributor = Attributor(self._model, layers, methods, recipe.input_params)
        self._attributed = partial(attributed_twice, self._attributor) if recipe.splits else self._attributor.maps
        self._absence = recipe.absent
        self._factor: Factor = recipe.factor  # type: ignore[assignment]  # the recipe has checked it
        self._drawing = recipe.drawing
        self._agreement: Agreement | None = None
        self._in_domain: list[bool] = []  # of each window
        loader.explained = any(method in INPUT_METHODS for method in methods)
        self._windows: dict[int, Tensor] = {}  # by start, of those that are checked

    def attributed(self, choose: Choose, only: dict[int, int] | None = None) -> Iterator[tuple[list[int], Attributed]]:
        """Yield the starts of each batch's windows, as its loader counts them, and their probabilities and maps.

        Args:
            choose: returns the targets of each window.
            only: starts of windows; others are left out.
        """
        with closing(self._loader.batches(self._model, only)) as batches:
            for batch in batches:
                self._attributor.on_share = partial(self._report, batch)
                with self._loader.stages.busy("network_s"):
                    found: Attributed = self._attributed(batch, choose)
                if self._model.spec.inside is not None and only is None:  # else they were looked at before
                    self._in_domain += self._model.spec.inside(batch.given).tolist()
                if batch.cut is not None and self._agreement is None:
                    self._agreement = dense_agreement(self._loader, self._attributor, batch, found)
                yield batch.starts, found
        self._loader.report(len(self._loader.times))

    def _report(self, batch: Batch, share: float) -> None:
        """Report the progress of a batch of which a share is done."""
        shown = self._loader.shown
        first, end = max(0, batch.starts[0]), batch.starts[-1] + self._loader.windowing.stride
        self._loader.report(shown[min(int(first + share * (end - first)), len(shown) - 1)])

    def inside(self, starts: list[int]) -> np.ndarray:
        """Return a mask, (W,) bool, of the windows inside the clip, which decide on its classes."""
        return self._loader.inside(starts)

    def heat(
        self, place: tuple[str, str], key: Key, maps: list[Maps], evidence: Evidence = "whole"
    ) -> list[np.ndarray]:
        """Return the maps (t, h, w) of one target by (method, layer), times the window's factor; 0 if it has no map.

        The evidence is split inside each window without the factor.
        """
        of_key = [of_window.get(key) for of_window in maps]
        known = [m for m in of_key if m is not None]
        probabilities = [m.probability for m in known]
        factors = iter(
            window_factors(
                self._factor_of(place[0], probabilities),
                np.array([m.raw for m in known]),
                None if None in probabilities else np.array(probabilities, np.float32),
            )
        )
        none = np.zeros_like(known[0].heat[place])
        return [none if m is None else m.part(place, evidence) * next(factors) for m in of_key]

    def _factor_of(self, method: str, probabilities: Sequence[float | None]) -> Factor:
        """Return the factor of a method's maps of a target, given its probability in each window, None if it has none."""
        factor: Factor = "probability" if method == "gradcam++softmax" else self._factor
        return "none" if factor == "probability" and None in probabilities else factor

    def stitched(self, values: Sequence[np.ndarray] | np.ndarray, starts: list[int]) -> np.ndarray:
        """Return one value or map per source frame, (F, ...), from those of the windows."""
        loader = self._loader
        return loader.on_source(stitch(values, starts, len(loader.instants), loader.windowing))

    def explanation(
        self, place: tuple[str, str], key: Key, starts: list[int], overall: np.ndarray, maps: list[Maps]
    ) -> Explanation:
        """Return the explanation of one target by (method, layer).

        Raises:
            TargetError: no window holds the time of the target.
        """
        model, source = self._model, self._loader.source
        of_key = [of_window[key] for of_window in maps]
        of_windows = self.heat(place, key, maps)
        heat = self.stitched(of_windows, starts)
        inside = self.inside(starts)
        scores = self.stitched([m.curve for m in of_key], starts)
        values = model.spec.probabilities is None
        window_scores = np.array([m.curve.mean() if values else m.curve.max() for m in of_key], np.float32)
        if isinstance(key, int):
            target = self._target(key, model.labels[key], float(overall[key]))
        elif isinstance(key, InTime):
            if all(m.raw == -np.inf for m in of_key):
                raise TargetError(
                    f"{source.name} has no frame at {key.seconds:g} s; its frames are from {self._loader.times[0]:.2f} to "
                    f"{self._loader.times[-1]:.2f} s: give a time between them"
                )
            nearest = int(np.abs(np.array(self._loader.times) - key.seconds).argmin())
            target = self._target(key.index, key.label, float(scores[nearest]))
        else:
            label, unit = (
                (key.label, model.spec.unit)
                if isinstance(key, Contrast)
                else (getattr(key, "__name__", "function"), "")
            )
            target = ExplainedTarget(None, label, None, float(window_scores[inside].mean()), unit)
        agreement = None if self._agreement is None else self._agreement.correlation
        computation = {
            "dtype": model.dtype or "float32",
            "fidelity": model.fidelity,
            "dense": agreement is not None,
            "context": self._loader.context,
            "factor": self._factor_of(place[0], [m.probability for m in of_key]),
        }
        notes = [*self._heat_notes(place, key, target.label, of_key, heat)]
        if place[1] == INPUT:
            passes, converged = self._attributor.passes[place[0]], _converged(place[0], of_key, of_windows)
            computation |= {"passes": passes, "absent": self._absence, "converged": converged}
            notes.append(passes_note(place[0], passes, converged))
        if source.is_image and (note := picture_note(Path(source.name).name, self._drawing)):
            notes.append(note)
        return Explanation(
            **self._of_result(place),
            weights=model.weights,
            target=target,
            top=() if values else tuple((model.labels[i], float(overall[i])) for i in most_probable(overall, 5)),
            size=(source.height, source.width),
            maps=heat,
            scores=scores,
            evidence=evidence_curve(heat),
            window_starts=np.array(self._loader.shown)[np.array(starts)[inside]],
            window_scores=window_scores[inside],
            computation=computation if agreement is None else {**computation, "dense_agreement": agreement},
            timings={"explain_s": self._seconds(), **self._loader.stages.rounded()},
            versions=versions(),
            warnings=(*notes, *self._warnings()),
            drawing=self._drawing,
        )

    def split(
        self, whole: Explanation, key: Key, starts: list[int], maps: list[Maps], evidences: Sequence[Evidence]
    ) -> list[Explanation]:
        """Return the kinds of evidence of one target as explanations with one scale of colours, that of the whole."""
        place, label = (whole.method, whole.layer), whole.target.label
        of_key = [of_window[key] for of_window in maps]
        share = share_of_motion(
            self._model,
            key,
            of_key,
            starts,
            self.inside(starts),
            self._loader.windowing,
            lambda values: self.stitched(values, starts),
        )
        found = []
        for evidence in evidences:
            heat = self.stitched(self.heat(place, key, maps, evidence), starts)
            empty = [f"none of the heat for {label} is {evidence}"] if whole.maps.any() and not heat.any() else []
            found.append(
                replace(
                    whole,
                    kind=evidence,
                    maps=heat,
                    evidence=evidence_curve(heat),
                    scale=(whole.peak, whole.highest),
                    motion=share,
                    warnings=(*share.notes(label), *empty, *whole.warnings),
                )
            )
        return found

    def _target(self, index: int, label: str, score: float) -> ExplainedTarget:
        """Return the target of a class, given its probability in the clip, or its value."""
        spec = self._model.spec
        if spec.probabilities is None:
            return ExplainedTarget(index, label, None, score, spec.unit)
        return ExplainedTarget(index, label, score)

    def localization(
        self,
        place: tuple[str, str],
        keys: list[int],
        starts: list[int],
        scores: np.ndarray,
        maps: list[Maps],
        curve: CurveName,
        evidence: Reduction,
        params: SegmentParams,
    ) -> Localization:
        """Return the localization of classes, best first, by (method, layer)."""
        model = self._model
        heats = [self.heat(place, key, maps) for key in keys]
        curves = [[evidence_curve(heat, evidence) for heat in of_class] for of_class in heats]
        notes = [
            note
            for key, of_class in zip(keys, heats)
            if not any(heat.any() for heat in of_class)
            for note in self._heat_notes(
                place, key, model.labels[key], [m[key] for m in maps if key in m], np.stack(of_class)
            )
        ]
        whole = Localization(
            **self._of_result(place),
            labels=tuple(model.labels[k] for k in keys),
            scores=scores,
            evidence=np.stack([self.stitched(of_class, starts) for of_class in curves]),
            maps=np.stack([self.stitched(of_class, starts) for of_class in heats]),
            curve=curve,
            segments=(),
            warnings=(*notes, *self._warnings()),
            timings={"localize_s": self._seconds(), **self._loader.stages.rounded()},
        )
        return replace(whole, segments=whole.cut(curve, params))

    def _of_result(self, place: tuple[str, str]) -> dict[str, Any]:
        """Return the fields that all results of the reading by (method, layer) have, see `vidcam.results.result.Result`."""
        source, preprocess = self._loader.source, self._model.spec.preprocess
        return {
            "clip": source.name,
            "model": self._model.spec.name,
            "layer": place[1],
            "method": place[0],
            "region": preprocess.region(source.height, source.width),
            "preprocess": asdict(preprocess),
            "windowing": asdict(self._loader.windowing),
            "times": np.array(self._loader.times),
            "stretch": (source.start, source.end),
            "frame_rate": float(source.frame_rate),
            "frame_rate_from": source.frame_rate_from,
            "fingerprint": self._fingerprint,
            "source": source,
        }

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._loader.began, 3)

    def checked(self, explanation: Explanation, key: Key, starts: list[int]) -> Explanation:
        """Return an explanation with the check of its map in the target's best window, and a warning if it fails."""
        spec, loader = self._model.spec, self._loader
        inside = [start for start, own in zip(starts, self.inside(starts)) if own]
        start = inside[int(explanation.window_scores.argmax())]
        window = self._window(start)
        count, apart = len(loader.instants), loader.windowing.sampling_rate
        frames = [min(start + i * apart, count - 1) for i in range(spec.frames)]
        found = check(
            self._model,
            window,
            explanation.maps[[loader.shown[i] for i in frames]],
            self._score_of(key),
            (loader.instants[frames[0]], loader.instants[frames[-1]]),
            1 / len(self._model.labels) if isinstance(key, int) and spec.probabilities is softmax else 0.0,
            self._absence,
        )
        if found.passed:
            return replace(explanation, check=found)
        how = "not tested" if found.untested else "not confirmed"
        note = f"the heat for {explanation.target.label} is {how}: {found.sentence()}"
        return replace(explanation, check=found, warnings=(note, *explanation.warnings))

    def _window(self, start: int) -> Tensor:
        """Return the network's input (3, T, H, W) for the window at a start."""
        if start not in self._windows:
            with closing(self._loader.batches(self._model, [start])) as batches:
                (self._windows[start],) = [batch.given[0] for batch in batches]
        return self._windows[start]

    def _score_of(self, key: Key) -> Callable[[Any], Tensor]:
        """Return the function from the network's output to what is tested of a target: its probability (N,), or its value."""
        spec = self._model.spec
        if isinstance(key, InTime):
            raise TargetError(f"the check tests whole windows, and {key.label} is at one time; leave check out")
        if not isinstance(key, int):
            return key
        if spec.probabilities is None:
            return lambda output: spec.class_scores(output)[:, key]
        return lambda output: step_probabilities(spec, spec.frame_scores(output).float()).amax(1)[:, key]

    def _heat_notes(
        self, place: tuple[str, str], key: Key, label: str, maps: Sequence[WindowMap], heat: np.ndarray
    ) -> Iterator[str]:
        return heat_notes(place, label, maps, heat, sloped=(key, place[1]) in self._attributor.sloped)

    def _warnings(self) -> tuple[str, ...]:
        notes = [*self._loader.warnings(), *([self._model.note] if self._model.note else [])]
        spec = self._model.spec
        if self._in_domain and sum(self._in_domain) * 2 < len(self._in_domain):
            notes.insert(0, domain_note(spec))
        if self._attributor.softmaxed and "probabilities itself" not in self._model.note:
            notes.append(softmax_note(spec))
        if self._agreement is not None:
            top = "the same top classes" if self._agreement.same_top else "other top classes"
            notes.append(
                "dense: on the clip's first windows maps correlate by "
                f"{self._agreement.correlation:.3f} with those window by window, {top}"
            )
        return tuple(notes)


def _converged(method: str, maps: Sequence[WindowMap], heats: Sequence[np.ndarray]) -> float | None:
    """Return the convergence of a method's maps of windows, their mean by heat, in [0, 1]; None if nothing is sampled."""
    found = [(m.converged[method], float(heat.sum())) for m, heat in zip(maps, heats) if method in m.converged]
    if not found:
        return None
    values, weights = np.array(found).T
    return float(np.average(values, weights=weights if weights.sum() else None))


def most_probable(probabilities: np.ndarray, count: int) -> list[int]:
    """Return the indices of the most probable classes, (classes,), best first."""
    return [int(i) for i in np.argsort(-probabilities, kind="stable")[:count]]
