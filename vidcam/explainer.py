"""Explainer: a network and a recipe, applied to clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial, wraps
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from vidcam.cam.fusion import fuse
from vidcam.cam.input_methods import INPUT, INPUT_METHODS
from vidcam.cam.targets import Target, class_index, target_of, top_count
from vidcam.engine.attribution import Attributor, Key, Maps
from vidcam.engine.freezing import attributed_twice
from vidcam.engine.loader import Batch, Progress, WindowLoader, normalised, windowing_of
from vidcam.engine.memory import give_back_freed_memory
from vidcam.engine.notes import assumption_note
from vidcam.engine.precision import shortest_dtype
from vidcam.engine.spans import SpanLoader
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError, one_of
from vidcam.fit import check_fit, chosen_layers, chosen_methods
from vidcam.models.device import device_named
from vidcam.models.evaluating import evaluating
from vidcam.models.inference import steps_of
from vidcam.models.own import own_model
from vidcam.models.registry import Model, load_model
from vidcam.models.trial import check_layers
from vidcam.reading import Reading, most_probable
from vidcam.recipe import LocalizeSettings, Recipe, Settings
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import Explanation
from vidcam.results.localization import CURVES, CurveName, Localization
from vidcam.temporal.curves import Reduction, clip_probabilities, evidence_curve
from vidcam.temporal.segments import INSTANTS, SegmentParams
from vidcam.untrusted.text import shortened
from vidcam.video.source import Source, source_of
from vidcam.video.windows import Windowing

if TYPE_CHECKING:
    from vidcam.live.run import Live
    from vidcam.live.source import Note

_EXPLAINED, _LOCALIZED = 2, 4  # windows that each frame is in if no stride is given
_PER_WINDOW = 3  # classes localized in a window, its own most probable ones

P = ParamSpec("P")
R = TypeVar("R")


def _in_evaluation(method: Callable[Concatenate[Explainer, P], R]) -> Callable[Concatenate[Explainer, P], R]:
    """Return a method of an explainer that runs its network, which may be in training, in evaluation mode."""

    @wraps(method)
    def run(self: Explainer, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with evaluating(self.model.network):
            return method(self, *args, **kwargs)

    return run


def explain(
    clip: Source,
    model: str | Model | nn.Module = "playground-r2plus1d",
    target: Target = "top",
    *,
    weights: str | Path = "default",
    progress: Progress = lambda done, announced: None,
    **settings: Unpack[Settings],
) -> Explanation:
    """Explain why a network recognises a target in a clip: where in the picture and when.

    Args:
        clip: a video file, a URL, a folder or a list of pictures, an array or tensor (T, H, W, 3) uint8 RGB, an
            iterable of frames (H, W, 3), or a `vidcam.video.source.FrameSource`, such as a
            `vidcam.video.reader.Clip` of a stretch.
        model: a name (`vidcam models` lists them), a model from `load_model` or `own_model`, or an `nn.Module` that
            fits the defaults of `own_model`.
        target: "top" for the clip's most probable class, a class index, a label, "A - B" for why A and not B,
            "A @ 3.2" for A at 3.2 seconds, or a function of the network's output that returns one score per window, (N,).
        weights: "default", "none" or a file; used if `model` is a name.
        progress: called with the frames done and the frames that the header announces.
        **settings: layer, method, stride and the other fields of `vidcam.Recipe`.

    Returns:
        The explanation; of several layers the fused one.

    Raises:
        VidcamError: the clip, model, target or a setting cannot be used, or means several explanations; `Explainer.explain`
            returns these.

    Example:
        >>> frames = np.zeros((16, 112, 112, 3), np.uint8)  # or "clip.mp4"
        >>> explanation = explain(frames, "playground-c3d", "waving", method="gradcam", dtype="float32")
        >>> explanation.maps.shape, explanation.target.label
        ((16, 14, 14), 'waving')
        >>> explanation.save("out")  # doctest: +SKIP
    """
    explainer = Explainer(model, Recipe(**settings), weights=weights)
    explainer.refuse_several(target)
    return explainer.explain(clip, target, progress=progress)[0]


def localize(
    clip: Source,
    model: str | Model | nn.Module = "playground-r2plus1d",
    classes: str | Sequence[str | int] = "top5",
    *,
    weights: str | Path = "default",
    curve: CurveName | None = None,
    evidence: Reduction = "mean",
    params: SegmentParams | None = None,
    progress: Progress = lambda done, announced: None,
    **settings: Unpack[LocalizeSettings],
) -> Localization:
    """Find the segments in time of the classes of a clip, in one reading of it.

    Args:
        clip, model, weights, progress: as for `explain`.
        classes: "top5" for the five classes with the highest scores, or labels or indices.
        curve: the curve that is cut into segments: the score, the evidence, or both combined (`combined_curve`); by default
            combined, or the score of a network that scores frames.
        evidence: reduction of a heatmap to one number of the curve: its mean, its max, or the mean of its top tenth.
        params: of the segments; by default `SegmentParams()`, or `INSTANTS` for a network that scores frames.
        **settings: the fields of `vidcam.Recipe` but its evidence; the stride is a quarter of a window by default.

    Returns:
        The localization.

    Raises:
        VidcamError: the clip, model, classes or a setting cannot be used, or there are several methods;
            `Explainer.localize` returns a localization for each.

    Example:
        >>> frames = np.zeros((32, 112, 112, 3), np.uint8)  # or "clip.mp4"
        >>> found = localize(frames, "playground-c3d", ["waving"], method="gradcam", dtype="float32")
        >>> found.labels, found.scores.shape
        (('waving',), (1, 32))
    """
    explainer = Explainer(model, Recipe(**settings), weights=weights)
    explainer.refuse_several()
    return explainer.localize(clip, classes, curve=curve, evidence=evidence, params=params, progress=progress)[0]


class Explainer:
    """Explainer of one network by one recipe, for many clips.

    Args:
        model: a name, a model from `load_model` or `own_model`, or an `nn.Module`.
        recipe: layers, methods, windows and precision.
        weights: "default", "none" or a file; used if `model` is a name.

    Attributes:
        model: the network, on the recipe's device.
        recipe: as given.
        layers: names of the target layers of the methods at a layer; none if all methods are at the input.
        methods: names of `vidcam.cam.input_methods.METHOD_NAMES`.

    Raises:
        VidcamError: the model cannot be loaded, or the recipe does not fit it.

    Example:
        >>> import numpy as np
        >>> explainer = Explainer("playground-c3d", Recipe(method="gradcam", dtype="float32"))
        >>> found = explainer.explain(np.zeros((16, 112, 112, 3), np.uint8), ["waving", "kicking"])
        >>> [explanation.target.label for explanation in found], found[0].maps.shape
        (['waving', 'kicking'], (16, 14, 14))
    """

    def __init__(
        self,
        model: str | Model | nn.Module = "playground-r2plus1d",
        recipe: Recipe = Recipe(),
        *,
        weights: str | Path = "default",
    ) -> None:
        self.recipe = recipe
        self.model = _loaded(model, weights, recipe.device)
        self.methods = chosen_methods(recipe, self.model.spec)
        self.layers = chosen_layers(recipe, self.model, self.methods)
        check_fit(recipe, self.model.spec, self.layers, self.methods)
        if self.layers and ",".join(self.layers) != self.model.spec.layer:
            self.model = self.model.with_note(check_layers(self.model, self.layers))

    @_in_evaluation
    def explain(
        self,
        clip: Source | WindowLoader,
        targets: Target | Sequence[Target] = "top",
        *,
        progress: Progress = lambda done, announced: None,
    ) -> list[Explanation]:
        """Explain one or several targets in one reading of a clip.

        Args:
            clip: as for `vidcam.explain`, or a clip that `opened` returned.
            targets: as for `vidcam.explain`, or "top5" for the five most probable classes, or a list of these.
            progress: called with the frames done and the frames that the header announces.

        Returns:
            One explanation for each target, top classes best first, each method and each kind of evidence; if there are
            several layers, the fused one, followed by one for each layer.

        Raises:
            VidcamError: the clip or a target cannot be used.
        """
        model = self.model
        wanted = [self._of_values(_target(t)) for t in (targets if isinstance(targets, list | tuple) else [targets])]
        if not wanted:
            raise TargetError("no target is given; give top, a label, a class index or a function")
        parsed = [(None if target in model.labels else top_count(target), target) for target in wanted]
        fixed = [
            None if count else target_of(target, model.labels, model.spec.class_scores) for count, target in parsed
        ]
        most = max((count or 0 for count, _ in parsed), default=0)

        def resolved(best: list[int]) -> list[Key]:
            keys: list[Key] = []
            for (count, _), key in zip(parsed, fixed):
                keys += best[:count] if key is None else [key]
            return list(dict.fromkeys(keys))

        seen: list[np.ndarray] = []  # probabilities, (N, classes) of each batch

        def candidates(probabilities: np.ndarray) -> list[list[Key]]:
            """Return the fixed targets, the window's own best classes and the best of the clip so far."""
            if not most:
                return [resolved([])] * len(probabilities)
            so_far = most_probable(clip_probabilities(np.concatenate([*seen, probabilities]), model.background), most)
            return [list(dict.fromkeys([*resolved(most_probable(p, most)), *so_far])) for p in probabilities]

        reading = self._reading(self.opened(clip, progress=progress))
        starts: list[int] = []
        maps: list[Maps] = []
        for some, found in reading.attributed(candidates):
            seen.append(found.probabilities)
            starts += some
            maps += found.maps
        overall = clip_probabilities(np.concatenate(seen)[reading.inside(starts)], model.background)
        keys = resolved(most_probable(overall, most))

        # A class that reaches the top late has no maps in early windows: those windows are run again.
        lacking = {start: i for i, start in enumerate(starts) if any(k not in maps[i] for k in keys)}
        if lacking:
            for some, found in reading.attributed(lambda p: [keys] * len(p), only=lacking):
                for start, found_again in zip(some, found.maps):
                    maps[lacking[start]].update(found_again)

        explanations = []
        for key in keys:
            for method in self.methods:
                layers = self.layers_of(method)
                parts = [reading.explanation((method, layer), key, starts, overall, maps) for layer in layers]
                if self.recipe.splits:
                    parts = reading.split(parts[0], key, starts, maps, self.recipe.evidences)
                elif len(parts) > 1:
                    heat = fuse([part.maps for part in parts], self.recipe.fusion)  # type: ignore[arg-type]
                    evidence = evidence_curve(heat)
                    notes = tuple(dict.fromkeys(note for part in parts for note in part.warnings))
                    fused = replace(parts[0], layer=",".join(layers), maps=heat, evidence=evidence, warnings=notes)
                    parts.insert(0, fused)
                explanations += [reading.checked(part, key, starts) for part in parts] if self.recipe.check else parts
        del maps  # as large as the maps of frames
        give_back_freed_memory()
        return explanations

    @_in_evaluation
    def localize(
        self,
        clip: Source | WindowLoader,
        classes: str | Sequence[str | int] = "top5",
        *,
        curve: CurveName | None = None,
        evidence: Reduction = "mean",
        params: SegmentParams | None = None,
        progress: Progress = lambda done, announced: None,
    ) -> list[Localization]:
        """Find the segments in time of classes, in one reading of a clip. Arguments as for `vidcam.localize`.

        Returns:
            A localization for each method.

        Raises:
            LayerError: the recipe has several layers.
            SettingsError: the recipe's evidence is not the whole.
            TargetError: no class is given, or one is not the model's.
            VidcamError: the clip or a setting cannot be used.
        """
        if self.recipe.splits:
            raise SettingsError(
                f"evidence {self.recipe.evidence} is for explaining; segments are cut from the whole evidence: leave it out"
            )
        if curve is None:
            curve = "score" if self.model.spec.scores_frames else "combined"
        one_of(curve, CURVES, "curve")
        one_of(evidence, get_args(Reduction), "reduction of the evidence")
        model = self.model
        if self.recipe.check:
            raise SettingsError("check tests explanations and no localization; leave it out")
        if self.recipe.drawing != Drawing():
            raise SettingsError("a localization is not drawn on its clip; leave out the settings of films and pictures")
        if model.spec.unrecognised or model.spec.probabilities is None:
            raise TargetError(
                f"{model.spec.name} gives no probabilities of classes, which segments are cut from; explain it, and take "
                "the stretches of its curve that matter to you"
            )
        if len(self.layers) > 1:
            raise LayerError(f"{len(self.layers)} layers are given ({', '.join(self.layers)}); localize by one")
        if params is None:
            params = INSTANTS if model.spec.scores_frames else SegmentParams()
        count = top_count(classes) if isinstance(classes, str) else None
        asked = [_target(one) for one in (classes if isinstance(classes, list | tuple) else [classes])]
        fixed = [] if count else list(dict.fromkeys(class_index(c, model.labels) for c in asked))
        if not fixed and not count:
            raise TargetError("no class is asked for; give top5, or labels")

        def likely(probabilities: np.ndarray) -> list[list[int]]:
            if fixed:
                return [fixed] * len(probabilities)
            order = np.argsort(-probabilities, axis=1, kind="stable")
            return [[int(k) for k in row if k != model.background][:_PER_WINDOW] for row in order]

        reading = self._reading(self.opened(clip, overlap=_LOCALIZED, progress=progress))
        starts: list[int] = []
        seen: list[np.ndarray] = []
        maps: list[Maps] = []
        for some, found in reading.attributed(likely):
            starts += some
            seen.append(found.curves)
            maps += found.maps
        candidates = fixed or sorted({k for of_window in maps for k in of_window if isinstance(k, int)})
        every = np.concatenate(seen)
        scores = np.stack([reading.stitched(every[:, :, k], starts) for k in candidates])
        best = np.argsort(-scores.max(axis=1), kind="stable")[: count or None]
        kept = [candidates[i] for i in best]
        return [
            reading.localization(
                (method, self.layers_of(method)[0]), kept, starts, scores[best], maps, curve, evidence, params
            )
            for method in self.methods
        ]

    def live(
        self, source: Source, target: Target = "top", *, seconds: float | None = None, note: Note | None = None
    ) -> Live:
        """Explain a camera, a stream, a file at its own pace or frames that are handed over, while they come.

        Windows begin a quarter of a window apart if the recipe has no stride. A source that comes at its own pace is
        never slowed down: if the network is late, windows are skipped. Frames of an array, an iterator or a
        `FrameSource` wait for the network, and no window is skipped. A frame is given when the windows that hold it are
        explained: about one window after it was taken. The recipe's context does not apply, since a stream has no ends.

        Args:
            source: a camera ("0", "/dev/video0"), a URL (rtsp, http, tcp, udp, and hls+http for a playlist), "-" for
                standard input, a video file, or frames as for `vidcam.explain`.
            target: as for `vidcam.explain`, without a time; "top" is the class that is shown.
            seconds: after which the run ends; by default it ends with its source.
            note: called with what happens to the source, from another thread; by default a Python warning.

        Returns:
            The run, whose iterator gives a `vidcam.live.step.Step` for each frame.

        Raises:
            LayerError, SettingsError, TargetError: the recipe or the target does not fit a stream.
            ClipError: the source can never be read.

        Example:
            >>> explainer = Explainer("playground-c3d", Recipe(method="gradcam", dtype="float32"))
            >>> frames = np.zeros((20, 112, 112, 3), np.uint8)  # or "0", "rtsp://camera/1"
            >>> with explainer.live(frames, note=lambda text: None) as live:
            ...     steps = list(live)
            >>> len(steps), steps[0].scores.shape
            (20, (11,))
        """
        from vidcam.live.causal import (
            CausalExplanation,  # with what draws, which other explanations need later or never
        )
        from vidcam.live.clock import Clock
        from vidcam.live.network import LiveNetwork
        from vidcam.live.run import Live, warn
        from vidcam.live.source import live_source
        from vidcam.live.target import check_recipe, live_target

        if seconds is not None and not 0 < seconds < math.inf:
            raise SettingsError(f"seconds is {seconds}; give a number above 0, or None for the end of the source")
        recipe, spec, clock, note = self.recipe, self.model.spec, Clock(), note or warn
        check_recipe(recipe, self.layers, self.methods)
        key, label = live_target(self._of_values(_target(target)), self.model)
        (layer,), (method,), factor = self.layers, self.methods, recipe.factor
        network = LiveNetwork(self.model, layer, method, factor, recipe.dtype, key)  # type: ignore[arg-type]
        return Live(
            live_source(source, clock, note, recipe.frame_rate, spec.frame_rate),
            clock,
            network,
            CausalExplanation(self.model, key, label),
            spec.preprocess,
            partial(self.windowing, overlap=_LOCALIZED),
            recipe.drawing,
            seconds=seconds,
            note=note,
        )

    def opened(
        self,
        clip: Source | WindowLoader,
        *,
        overlap: int = _EXPLAINED,
        progress: Progress = lambda done, announced: None,
    ) -> WindowLoader:
        """Return a loader of a clip's windows by the recipe; it can be explained several times and is decoded once.

        Args:
            clip: as for `vidcam.explain`; a loader is returned as it is.
            overlap: number of windows that each frame is in if the recipe has no stride.
            progress: called with the frames done and the frames that the header announces.

        Raises:
            VidcamError: the clip or a setting cannot be used.
        """
        if isinstance(clip, WindowLoader):
            return clip
        recipe, spec = self.recipe, self.model.spec
        source = source_of(clip, recipe.frame_rate, spec.frame_rate)
        windowing = self.windowing(float(source.frame_rate), overlap)
        if recipe.dense:
            return SpanLoader(source, spec, windowing, progress, self._steps)
        return WindowLoader(source, spec, windowing, progress, context=recipe.context)

    def windowing(self, frame_rate: float, overlap: int = _EXPLAINED) -> Windowing:
        """Return the windowing of frames at a rate in frames per second; `overlap` as for `opened`.

        Raises:
            SettingsError: the stride is longer than a window.
        """
        recipe = self.recipe
        return windowing_of(frame_rate, self.model.spec, recipe.stride, recipe.sampling_rate, overlap=overlap)

    @_in_evaluation
    def maps(self, windows: Tensor, target: int | Key) -> dict[str, np.ndarray]:
        """Explain a target in windows that are in memory.

        Args:
            windows: (N, 3, T, H, W) pixels in 0..255, resized and cropped for the network.
            target: index of a class, or a function of the network's output.

        Returns:
            Method → (N, t, h, w) float32 raw maps; the maps of several layers are fused, window by window.

        Raises:
            SettingsError: the recipe has several kinds of evidence.
            VidcamError: the target or a layer cannot be explained.
        """
        batch = Batch(list(range(len(windows))), normalised(self.model, windows))
        if len(self.recipe.evidences) > 1:
            raise SettingsError(f"{self.recipe.evidence} are several kinds of evidence; give one for maps of windows")
        (evidence,) = self.recipe.evidences
        attributor = Attributor(self.model, self.layers, self.methods, self.recipe.input_params)
        run = attributor.maps if not self.recipe.splits else partial(attributed_twice, attributor)
        found = run(batch, lambda p: [[target]] * len(p))
        return {
            method: np.stack(
                [
                    self._fused([of[target].part((method, layer), evidence) for layer in self.layers_of(method)])
                    for of in found.maps
                ]
            )
            for method in self.methods
        }

    @_in_evaluation
    def shortest_dtype(self, clip: Source) -> str:
        """Return the dtype that "auto" computes in for a clip, also for a short one."""
        if self._in_float32:
            return "float32"
        return shortest_dtype(self.model, self.layers, self.opened(clip))

    def on(self, model: Model) -> Explainer:
        """Return an explainer of another model, such as a copy with random weights, at the same layers."""
        other = copy(self)  # the same layers need no second test
        other.model, other.recipe = model, self.recipe.changed(layer=",".join(self.layers) or "auto", device=None)
        return other

    def refuse_several(self, target: Target | Sequence[Target] = "top") -> None:
        """Check that the recipe and the target mean one explanation, or one localization.

        Raises:
            SettingsError: there are several methods, kinds of evidence or targets.
        """
        parts = {"targets": target, "methods": self.methods, "kinds of evidence": self.recipe.evidences}
        several = [
            f"{len(given)} {what}"
            for what, given in parts.items()
            if isinstance(given, list | tuple) and len(given) > 1
        ]
        if isinstance(target, str) and target not in self.model.labels and (top_count(target) or 1) > 1:
            several.append(f"target {target}")
        if several:
            raise SettingsError(
                f"several results are asked for ({', '.join(several)}), and only one can be given; give one of each. In Python, "
                "explain and localize of vidcam.Explainer(model, vidcam.Recipe(...)) return all"
            )

    def layers_of(self, method: str) -> tuple[str, ...]:
        """Return the names of the layers that one of the methods explains; `INPUT` alone for a method at the input."""
        return (INPUT,) if method in INPUT_METHODS else self.layers

    @property
    def dtype(self) -> str:
        """The recipe's dtype, or "float32" for methods at the input."""
        return "float32" if self._in_float32 else self.recipe.dtype

    @property
    def _in_float32(self) -> bool:
        """True for methods at the input, which compare scores that differ little, and a network in float32."""
        at_input = any(method in INPUT_METHODS for method in self.methods)
        return at_input and self.model.float_dtype == torch.float32

    def _of_values(self, target: Target) -> Target:
        """Return the target, of which "top" is the only value of a network that gives values.

        Raises:
            TargetError: the network gives several values and "top" is asked for, or no class scores and a class is.
        """
        spec, labels = self.model.spec, self.model.labels
        if callable(target):
            return target
        if spec.unrecognised:
            raise TargetError(f"{spec.name} has no classes to explain: {spec.unrecognised}")
        if spec.probabilities is None and target not in labels and top_count(target):
            if len(labels) > 1:
                raise TargetError(
                    f"{spec.name} gives {len(labels)} values and no probabilities, of which none is the top one; give one of "
                    f"{', '.join(labels[:8])}"
                )
            return 0
        return target

    def _fused(self, parts: list[np.ndarray]) -> np.ndarray:
        """Return the map of one layer unchanged, or the fusion of several, at the number of steps of the longest."""
        if len(parts) == 1:
            return parts[0]
        steps = max(len(p) for p in parts)
        return fuse([p[np.arange(steps) * len(p) // steps] for p in parts], self.recipe.fusion)  # type: ignore[arg-type]

    def _reading(self, loader: WindowLoader) -> Reading:
        return Reading(loader, self.model, self.recipe, self.layers, self.methods, self.dtype)

    @cached_property
    @_in_evaluation
    def _steps(self) -> int:
        return steps_of(self.model, self.layers[0])


def _target(target: Any) -> Any:
    """Return a target, whole numbers of NumPy and torch as Python's.

    Raises:
        TargetError: it is none.
    """
    if isinstance(target, str) or callable(target):
        return target
    if isinstance(target, bool) or not isinstance(target, Integral):
        raise TargetError(
            f"target {shortened(target)} is a {type(target).__name__}; give a label, a class index, or a function of the output"
        )
    return int(target)


def _loaded(model: str | Model | nn.Module, weights: str | Path, device: str | None) -> Model:
    """Return the model of a name, a model or a network, moved to the device if one is given."""
    if isinstance(model, str):
        return load_model(model, weights, device="auto" if device is None else device)
    if str(weights) != "default":
        raise SettingsError(
            f"weights {weights!s} are given with a network that is an object and has its own; load them into it, or give "
            "its name as model"
        )
    if device is not None:
        network = model if isinstance(model, nn.Module) else getattr(model, "network", None)
        if network is not None:
            network.to(device_named(device))
    if isinstance(model, nn.Module):
        own = own_model(model)
        return own.with_note(assumption_note(own.spec))
    if not isinstance(model, Model):
        raise ModelError(
            f"{model!r} is a {type(model).__name__}; give a name, an nn.Module, or what own_model returned"
        )
    model.network.eval()  # it may have been trained since
    return model
