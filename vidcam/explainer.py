"""Explainer: a network and a recipe, applied to clips."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property, partial
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import av
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from vidcam.cam.fusion import fuse
from vidcam.cam.input_methods import INPUT, INPUT_METHODS, check_installed
from vidcam.cam.layers import SpaceTimeLayer, space_time_layers
from vidcam.cam.methods import method_named, needs
from vidcam.cam.targets import Contrast, InTime, Target, class_index, target_of, top_count
from vidcam.engine.agreement import Agreement
from vidcam.engine.attribution import Attributed, Attributor, Choose, Key, Maps, WindowMap, step_probabilities
from vidcam.engine.check import check
from vidcam.engine.freezing import attributed_twice, share_of_motion
from vidcam.engine.loader import Batch, Progress, WindowLoader, normalised, windowing_of
from vidcam.engine.memory import give_back_freed_memory
from vidcam.engine.notes import domain_note, softmax_note
from vidcam.engine.precision import optimized, shortest_dtype
from vidcam.engine.spans import SpanLoader, dense_agreement
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError, one_of
from vidcam.models.device import device_named
from vidcam.models.inference import steps_of
from vidcam.models.own import own_model
from vidcam.models.registry import Model, load_model, softmax
from vidcam.models.trial import check_layers
from vidcam.recipe import LocalizeSettings, Recipe, Settings
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.localization import CURVES, CurveName, Localization
from vidcam.temporal.curves import Reduction, clip_probabilities, evidence_curve
from vidcam.temporal.factor import Factor, window_factors
from vidcam.temporal.motion import Evidence
from vidcam.temporal.segments import INSTANTS, SegmentParams
from vidcam.temporal.stitch import stitch
from vidcam.untrusted.text import shortened
from vidcam.video.fingerprint import fingerprint_of
from vidcam.video.source import Source, source_of
from vidcam.video.windows import Windowing

if TYPE_CHECKING:
    from vidcam.live.run import Live
    from vidcam.live.source import Note

_EXPLAINED, _LOCALIZED = 2, 4  # windows that each frame is in if no stride is given
_FLAT = 1e-5  # difference in a frame, as a share of the largest heat, below which its heat is the same everywhere
_CONVERGED = 0.9  # convergence below which more passes are advised
_PER_WINDOW = 3  # classes localized in a window, its own most probable ones


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
        The explanation. If there are several targets, methods, kinds of evidence or layers, the first one that `Explainer.explain` returns.

    Raises:
        VidcamError: the clip, model, target or a setting cannot be used.

    Example:
        >>> frames = np.zeros((16, 112, 112, 3), np.uint8)  # or "clip.mp4"
        >>> explanation = explain(frames, "playground-c3d", "waving", method="gradcam", dtype="float32")
        >>> explanation.maps.shape, explanation.target.label
        ((16, 14, 14), 'waving')
        >>> explanation.save("out")  # doctest: +SKIP
    """
    return Explainer(model, Recipe(**settings), weights=weights).explain(clip, target, progress=progress)[0]


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
        The localization. If there are several methods, the one by the first.

    Raises:
        VidcamError: the clip, model, classes or a setting cannot be used.

    Example:
        >>> frames = np.zeros((32, 112, 112, 3), np.uint8)  # or "clip.mp4"
        >>> found = localize(frames, "playground-c3d", ["waving"], method="gradcam", dtype="float32")
        >>> found.labels, found.scores.shape
        (('waving',), (1, 32))
    """
    explainer = Explainer(model, Recipe(**settings), weights=weights)
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
        names = (name.strip() for name in recipe.method.split(","))
        self.methods = tuple(
            dict.fromkeys(self.model.spec.default_method if name == "auto" else name for name in names)
        )
        self.layers = self._checked_layers()
        self._check_input_methods()
        if self.layers and ",".join(self.layers) != self.model.spec.layer:
            note = check_layers(self.model, self.layers)
            if note and note not in self.model.note:
                self.model = replace(self.model, note="; ".join(filter(None, [self.model.note, note])))
        if "gradcam++softmax" in self.methods and self.model.spec.probabilities is not softmax:
            raise SettingsError(
                f"gradcam++softmax explains the softmax of all scores, and the probabilities of {self.model.spec.name} are "
                "none; choose another method"
            )
        if recipe.dense:
            self._check_dense()
        if self._split and len(self.layers) > 1:
            raise LayerError(
                f"evidence {recipe.evidence} is of one layer, and {', '.join(self.layers)} are given; give one with --layer"
            )

    @property
    def _split(self) -> bool:
        """True if motion or appearance is explained, for which windows are run frozen, too."""
        return self.recipe.evidences != ("whole",)

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
            so_far = _best(clip_probabilities(np.concatenate([*seen, probabilities]), model.background), most)
            return [list(dict.fromkeys([*resolved(_best(p, most)), *so_far])) for p in probabilities]

        run = _Run(self, self.opened(clip, progress=progress))
        starts: list[int] = []
        maps: list[Maps] = []
        for some, found in run.attributed(candidates):
            seen.append(found.probabilities)
            starts += some
            maps += found.maps
        overall = clip_probabilities(np.concatenate(seen)[run.inside(starts)], model.background)
        keys = resolved(_best(overall, most))

        # A class that reaches the top late has no maps in early windows: those windows are run again.
        lacking = {start: i for i, start in enumerate(starts) if any(k not in maps[i] for k in keys)}
        if lacking:
            for some, found in run.attributed(lambda p: [keys] * len(p), only=lacking):
                for start, found_again in zip(some, found.maps):
                    maps[lacking[start]].update(found_again)

        explanations = []
        for key in keys:
            for method in self.methods:
                layers = self.layers_of(method)
                parts = [run.explanation((method, layer), key, starts, overall, maps) for layer in layers]
                if self._split:
                    parts = run.split(parts[0], key, starts, maps, self.recipe.evidences)
                elif len(parts) > 1:
                    heat = fuse([part.maps for part in parts], self.recipe.fusion)  # type: ignore[arg-type]
                    evidence = evidence_curve(heat)
                    notes = tuple(dict.fromkeys(note for part in parts for note in part.warnings))
                    fused = replace(parts[0], layer=",".join(layers), maps=heat, evidence=evidence, warnings=notes)
                    parts.insert(0, fused)
                explanations += [run.checked(part, key, starts) for part in parts] if self.recipe.check else parts
        del maps  # as large as the maps of frames
        give_back_freed_memory()
        return explanations

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
        if self._split:
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
            raise LayerError(f"{len(self.layers)} layers are given ({', '.join(self.layers)}); give one with --layer")
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

        run = _Run(self, self.opened(clip, overlap=_LOCALIZED, progress=progress))
        starts: list[int] = []
        seen: list[np.ndarray] = []
        maps: list[Maps] = []
        for some, found in run.attributed(likely):
            starts += some
            seen.append(found.curves)
            maps += found.maps
        candidates = fixed or sorted({k for of_window in maps for k in of_window if isinstance(k, int)})
        every = np.concatenate(seen)
        scores = np.stack([run.stitched(every[:, :, k], starts) for k in candidates])
        best = np.argsort(-scores.max(axis=1), kind="stable")[: count or None]
        kept = [candidates[i] for i in best]
        return [
            run.localization(
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

        recipe, spec, clock, note = self.recipe, self.model.spec, Clock(), note or warn
        check_recipe(recipe, self.layers, self.methods)
        key, label = live_target(self._of_values(_target(target)), self.model)
        (layer,), (method,), factor = self.layers, self.methods, recipe.factor
        network = LiveNetwork(self.evaluated(), layer, method, factor, recipe.dtype, key)  # type: ignore[arg-type]
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
        attributor = Attributor(self.evaluated(), self.layers, self.methods, self.recipe.input_params)
        run = attributor.maps if not self._split else partial(attributed_twice, attributor)
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

    def shortest_dtype(self, clip: Source) -> str:
        """Return the dtype that "auto" computes in for a clip, also for a short one."""
        if self._in_float32:
            return "float32"
        return shortest_dtype(self.model, self.layers, self.opened(clip))

    def evaluated(self) -> Model:
        """Return the model, with its network in evaluation mode: it may have been trained since."""
        self.model.network.eval()
        return self.model

    def on(self, model: Model) -> Explainer:
        """Return an explainer of another model, such as a copy with random weights, at the same layers."""
        other = copy(self)  # the same layers need no second test
        other.model, other.recipe = model, self.recipe.changed(layer=",".join(self.layers) or "auto", device=None)
        return other

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

    def _checked_layers(self) -> tuple[str, ...]:
        model, layer = self.model, self.recipe.layer
        at_layers = [method for method in self.methods if method not in INPUT_METHODS]
        if not at_layers:
            if layer != "auto":
                raise LayerError(
                    f"{self.methods[0]} explains the network at its input, and layer {layer} is given; leave it out"
                )
            return ()
        if not model.spec.layer:
            raise LayerError(
                f"{model.spec.name} is seen from outside and has no layers, and {at_layers[0]} explains one; give a method at "
                f"the input: {', '.join(INPUT_METHODS)}"
            )
        if layer == "auto":
            layer = self._default_layer(at_layers)
        names = [name.strip() for name in layer.split(",")]
        modules = dict(model.network.named_modules())
        if unknown := [name for name in names if not name or name not in modules]:
            raise LayerError(
                f"{model.spec.name} has no layer {unknown[0]!r}; its space-time layers are {', '.join(layers_of(model))}"
            )
        return tuple(dict.fromkeys(names))

    def _check_input_methods(self) -> None:
        """Raise a SettingsError if a setting of the methods at the input applies to none, or a package is missing."""
        recipe, at_input = self.recipe, [method for method in self.methods if method in INPUT_METHODS]
        uses = {
            "absent": recipe.check or any(method != "smoothgrad" for method in at_input),
            "passes": bool(at_input),
            "stretches": "shapley" in at_input,
        }
        for method in at_input:
            check_installed(method)
        given = {name: getattr(recipe, name) for name in uses}
        if unused := [n for n, value in given.items() if value != Recipe.model_fields[n].default and not uses[n]]:
            raise SettingsError(
                f"{unused[0]} {given[unused[0]]} applies to none of the methods ({', '.join(self.methods)}); leave it "
                "out, or choose another method"
            )
        if at_input and recipe.dtype not in ("auto", "float32"):
            raise SettingsError(
                f"{at_input[0]} compares scores that differ little, in float32, and dtype {recipe.dtype} is given; leave it out"
            )
        if at_input and len(self.layers) > 1:
            raise LayerError(
                f"{at_input[0]} explains the network at its input, and layers are fused ({', '.join(self.layers)}); explain "
                "them one after the other"
            )

    def _default_layer(self, methods: Sequence[str]) -> str:
        """Return the default target layer of methods at a layer.

        Raises:
            SettingsError: they have different ones.
        """
        spec = self.model.spec
        of_methods = {method: spec.layer_for(method) for method in methods}
        if len(set(of_methods.values())) > 1:
            defaults = ", ".join(f"{layer} for {method}" for method, layer in of_methods.items())
            raise SettingsError(f"the default layers of {spec.name} differ: {defaults}; give one of them as layer")
        return of_methods[methods[0]]

    def _check_dense(self) -> None:
        if self._split:
            raise SettingsError(
                f"dense runs long spans of frames, and evidence {self.recipe.evidence} needs windows that can be frozen; "
                "leave dense out"
            )
        if len(self.layers) > 1:
            raise LayerError(
                f"dense explains one layer, and {', '.join(self.layers)} are given; give one of them with --layer"
            )
        if slow := [m for m in self.methods if m in INPUT_METHODS or "masked_scores" in needs(method_named(m))]:
            raise SettingsError(f"{slow[0]} runs the network anew on parts of a window; it cannot be had with dense")
        if self.model.spec.layout.frames_in_rows:
            raise SettingsError(
                f"dense runs {self.model.spec.name} on long spans of frames, and it takes the frames of one window as rows of "
                "its batch; leave dense out"
            )
        if (grid := self.model.spec.layout.grid) is not None:
            raise SettingsError(
                f"dense runs {self.model.spec.name} on long spans of frames, and it has tokens for {grid[0]} steps in time; "
                "leave dense out"
            )

    @cached_property
    def _steps(self) -> int:
        return steps_of(self.model, self.layers[0])


class _Run:
    """One reading of a clip by an explainer, and the results computed from it."""

    def __init__(self, explainer: Explainer, loader: WindowLoader) -> None:
        recipe = explainer.recipe
        self._loader = loader
        self._fingerprint = fingerprint_of(loader.source)
        with loader.stages.busy("prepare_s"):
            self._model = optimized(explainer.evaluated(), explainer.layers, explainer.dtype, loader)
        self._attributor = Attributor(self._model, explainer.layers, explainer.methods, recipe.input_params)
        split = recipe.evidences != ("whole",)
        self._attributed = partial(attributed_twice, self._attributor) if split else self._attributor.maps
        self._absence = recipe.absent
        self._factor: Factor = recipe.factor  # type: ignore[assignment]  # the recipe has checked it
        self._drawing = recipe.drawing
        self._agreement: Agreement | None = None
        self._in_domain: list[bool] = []  # of each window
        loader.explained = any(method in INPUT_METHODS for method in explainer.methods)
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
        notes = [*self._about_heat(place, key, target.label, of_key, heat)]
        if place[1] == INPUT:
            passes, converged = self._attributor.passes[place[0]], _converged(place[0], of_key, of_windows)
            computation |= {"passes": passes, "absent": self._absence, "converged": converged}
            notes.append(_about_passes(place[0], passes, converged))
        return Explanation(
            clip=source.name,
            model=model.spec.name,
            weights=model.weights,
            layer=place[1],
            method=place[0],
            target=target,
            top=() if values else tuple((model.labels[i], float(overall[i])) for i in _best(overall, 5)),
            size=(source.height, source.width),
            region=model.spec.preprocess.region(source.height, source.width),
            stretch=(source.start, source.end),
            frame_rate=float(source.frame_rate),
            frame_rate_from=source.frame_rate_from,
            times=np.array(self._loader.times),
            maps=heat,
            scores=scores,
            evidence=evidence_curve(heat),
            window_starts=np.array(self._loader.shown)[np.array(starts)[inside]],
            window_scores=window_scores[inside],
            windowing=asdict(self._loader.windowing),
            computation=computation if agreement is None else {**computation, "dense_agreement": agreement},
            timings={"explain_s": self._seconds(), **self._loader.stages.rounded()},
            versions=versions(),
            warnings=(*notes, *self._warnings()),
            fingerprint=self._fingerprint,
            source=source,
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
        model, source = self._model, self._loader.source
        heats = [self.heat(place, key, maps) for key in keys]
        curves = [[evidence_curve(heat, evidence) for heat in of_class] for of_class in heats]
        notes = [
            note
            for key, of_class in zip(keys, heats)
            if not any(heat.any() for heat in of_class)
            for note in self._about_heat(
                place, key, model.labels[key], [m[key] for m in maps if key in m], np.stack(of_class)
            )
        ]
        whole = Localization(
            clip=source.name,
            model=model.spec.name,
            layer=place[1],
            method=place[0],
            region=model.spec.preprocess.region(source.height, source.width),
            stretch=(source.start, source.end),
            frame_rate=float(source.frame_rate),
            frame_rate_from=source.frame_rate_from,
            times=np.array(self._loader.times),
            labels=tuple(model.labels[k] for k in keys),
            scores=scores,
            evidence=np.stack([self.stitched(of_class, starts) for of_class in curves]),
            maps=np.stack([self.stitched(of_class, starts) for of_class in heats]),
            curve=curve,
            segments=(),
            warnings=(*notes, *self._warnings()),
            timings={"localize_s": self._seconds(), **self._loader.stages.rounded()},
            fingerprint=self._fingerprint,
            source=source,
        )
        return replace(whole, segments=whole.cut(curve, params))

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
        note = f"the heat for {explanation.target.label} is not confirmed: {found.sentence()}"
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

    def _about_heat(
        self, place: tuple[str, str], key: Key, label: str, maps: Sequence[WindowMap], heat: np.ndarray
    ) -> Iterator[str]:
        """Yield a note if the heat of a target, (F, h, w), is empty or the same everywhere in each frame, with the reason."""
        method, layer = place
        peak = heat.max(initial=0.0)
        if method == "shapley" and peak:
            yield f"the heat for {label} shows when, and not where: shapley is of stretches of time"
        elif peak and (np.ptp(heat, axis=(1, 2)) <= _FLAT * peak).all():
            single = heat.shape[1] * heat.shape[2] == 1
            reason = "has 1 position in space; choose an earlier layer" if single else "gives the same at all of them"
            yield f"the heat for {label} is the same at every place of a frame and does not show where: layer {layer} {reason}"
        elif not peak and any(m.heat[place].any() for m in maps):
            yield (
                f"the heat for {label} is empty: its probability, which each map is multiplied by, is 0 in every window; "
                "give factor none (--factor none) to see the maps"
            )
        elif not peak and layer == INPUT:
            pixels = "the gradient of its score by the pixels is 0 everywhere, or speaks against it"
            hidden = "no part that is hidden lowers its score; hide parts by something else (--absent), or smaller ones"
            reason = pixels if method in ("integrated-gradients", "smoothgrad") else hidden
            yield f"the heat for {label} is empty: by {method}, {reason}"
        elif not peak and (key, layer) in self._attributor.sloped:
            other = "" if method.startswith("gradcam-") or method == "gradcam" else "try gradcam, or "
            yield (
                f"the heat for {label} is empty: by {method} no active channel of layer {layer} speaks for it; "
                f"{other}explain a contrast, such as '{label} - another', or another layer"
            )
        elif not peak:
            yield (
                f"the heat for {label} is empty: the gradient of its score is 0 everywhere at layer {layer}, so that "
                "nothing of the layer changes the score; choose an earlier layer, and the score before a softmax or sigmoid"
            )

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
    total = sum(weight for _, weight in found)
    return sum(value * weight for value, weight in found) / total if total else None


def _about_passes(method: str, passes: int, converged: float | None) -> str:
    """Return a note on the passes of the network that a method took, and on the convergence of its maps."""
    taken = f"{method} ran the network {passes} times for each window"
    if converged is None:
        return f"{taken}; its result does not depend on chance"
    more = "; give more passes (--passes)" if converged < _CONVERGED else ""
    if method == "integrated-gradients":
        return f"{taken}; its sum misses {1 - converged:.3f} of the change of the score{more}"
    return f"{taken}; maps of two such runs with other random numbers would correlate by about {converged:.2f}{more}"


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


def layers_of(model: Model) -> dict[str, SpaceTimeLayer]:
    """Return the layers of a network that can be explained by name, in the order they are called."""
    return space_time_layers(model.network, model.spec.pack(model.blank_window), model.spec.layout, model.spec.frames)


def versions() -> dict[str, str]:
    """Return the versions of vidcam and of the packages that its results depend on."""
    return {
        "vidcam": version("vidcam"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "av": av.__version__,
    }


def _loaded(model: str | Model | nn.Module, weights: str | Path, device: str | None) -> Model:
    """Return the model of a name, a model or a network, moved to the device if one is given."""
    if isinstance(model, str):
        return load_model(model, weights, device="auto" if device is None else device)
    if device is not None:
        network = model if isinstance(model, nn.Module) else getattr(model, "network", None)
        if network is not None:
            network.to(device_named(device))
    if isinstance(model, nn.Module):
        return own_model(model)
    if not isinstance(model, Model):
        raise ModelError(
            f"{model!r} is a {type(model).__name__}; give a name, an nn.Module, or what own_model returned"
        )
    model.network.eval()  # it may have been trained since
    return model


def _best(probabilities: np.ndarray, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-probabilities, kind="stable")[:count]]
