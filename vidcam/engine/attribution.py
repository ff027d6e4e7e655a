"""Attribution: the maps of a batch of windows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.cam.attribute import class_activation_maps, input_map
from vidcam.cam.capture import Capture, captured
from vidcam.cam.input_methods import INPUT, INPUT_METHODS, PASSES
from vidcam.cam.scored import InputMap, InputParams
from vidcam.cam.targets import Contrast, InTime, ScoreFunction, classes, in_time
from vidcam.engine.loader import Batch
from vidcam.engine.memory import separate_copy
from vidcam.errors import LayerError, ModelError, TargetError
from vidcam.models.probabilities import recognised
from vidcam.models.registry import Model, ModelSpec, softmax
from vidcam.temporal.motion import Evidence, part_of

Key = int | InTime | ScoreFunction
"""A target: the index of a class, a class at a time, or a function of the output."""

Choose = Callable[[np.ndarray], Sequence[Sequence[Key]]]
"""Returns the targets of each window, given the probabilities of the windows, (N, classes)."""


@dataclass(frozen=True)
class WindowMap:
    """The maps of one window for one target.

    Attributes:
        heat: (method, layer) → map (t, h, w); the layer is `INPUT` for a method at the input.
        raw: the target's score before softmax; -inf if the target is a class at a time outside the window.
        probability: of the target's class, in [0, 1]; of the first class of a contrast; None for another function, and
            for values.
        curve: (t,) the probability, or the value, of a class at each step for which the network has scores; for a
            contrast or function the raw score, (1,).
        top: index of the window's most probable class; None if the network gives no probabilities.
        frozen: the same of the frozen window, see `vidcam.engine.freezing`; None if it was not run.
        converged: method → convergence of its map, in [0, 1], see `vidcam.cam.scored.InputMap`; of methods that are not exact.
    """

    heat: dict[tuple[str, str], np.ndarray]
    raw: float
    probability: float | None
    curve: np.ndarray
    top: int | None = None
    frozen: WindowMap | None = None
    converged: dict[str, float] = field(default_factory=dict)

    def part(self, place: tuple[str, str], evidence: Evidence) -> np.ndarray:
        """Return a part of the map by (method, layer), (t, h, w), see `vidcam.temporal.motion.part_of`."""
        heat = self.heat[place]
        return heat if self.frozen is None else part_of(heat, self.frozen.heat[place], evidence)


Maps = dict[Key, WindowMap]


@dataclass(frozen=True)
class Attributed:
    """The probabilities and maps of a batch of N windows.

    Attributes:
        probabilities: (N, classes); the values if the network gives values, and no classes if its output holds none.
        curves: (N, t, classes) probabilities, or values, at each step for which the network has scores; t is 1 if it
            scores windows.
        maps: of each window by target.
    """

    probabilities: np.ndarray
    curves: np.ndarray
    maps: list[Maps]


@dataclass
class Attributor:
    """Attributor of windows at fixed layers by fixed methods.

    Attributes:
        model: the network.
        layers: names of the target layers of the methods at a layer.
        methods: names of `vidcam.cam.input_methods.METHOD_NAMES`.
        params: of the methods at the input.
        on_share: called after each pass of the network by a method at the input, with the share of the batch that is done.
        max_batch: largest batch size that has not run out of memory.
        sloped: (target, layer) of the empty maps whose score has a gradient other than 0 at the layer.
        passes: method at the input → passes of the network that it took for the last batch's windows and one target.
        softmaxed: True if the scores of all windows are what a softmax gives, and another one is taken of them.
    """

    model: Model
    layers: Sequence[str]
    methods: Sequence[str]
    params: InputParams = field(default_factory=InputParams)
    on_share: Callable[[float], None] = field(default_factory=lambda: lambda share: None, init=False)
    max_batch: int = field(default=sys.maxsize, init=False)
    sloped: set[tuple[Key, str]] = field(default_factory=set, init=False)
    passes: dict[str, int] = field(default_factory=dict, init=False)
    softmaxed: bool | None = field(default=None, init=False)

    def maps(self, batch: Batch, choose: Choose) -> Attributed:
        """Return the probabilities of a batch and the maps of the targets that are chosen for each window.

        A batch that does not fit into the device's memory is computed in halves, and so are those after it.

        Args:
            batch: the windows.
            choose: returns the targets of each window.

        Raises:
            ModelError: a single window, or a span, does not fit into memory; or the scores are not finite.
            VidcamError: a layer or target cannot be explained.
        """
        windows = len(batch.starts)
        if batch.cut is not None or windows <= self.max_batch:
            try:
                return self._maps(batch, choose)
            except torch.OutOfMemoryError as error:
                if batch.cut is not None or windows == 1:
                    what = (
                        "a span of windows; leave out dense" if batch.cut is not None else "a window; free some of it"
                    )
                    raise ModelError(
                        f"the memory of {self.model.device} does not take {what}, or choose a smaller network"
                    ) from error
            torch.cuda.empty_cache()  # after the except: the error holds the tensors until then
            self.max_batch = windows // 2
        half = windows // 2
        found = [self.maps(batch.part(of), choose) for of in (slice(half), slice(half, None))]
        return Attributed(
            np.concatenate([part.probabilities for part in found]),
            np.concatenate([part.curves for part in found]),
            [maps for part in found for maps in part.maps],
        )

    def _maps(self, batch: Batch, choose: Choose) -> Attributed:
        model, spec = self.model, self.model.spec
        maps: list[Maps] = [{} for _ in batch.starts]
        at_layers = [method for method in self.methods if method not in INPUT_METHODS]
        with captured(
            model.network,
            self.layers,
            batch.given,
            layout=spec.layout,
            pack=spec.pack,
            cut=batch.cut,
            scores=spec.class_scores,
        ) as capture:
            curves = separate_copy(self._curves(capture.output, len(batch.starts)))
            probabilities = separate_copy(curves.max(axis=1) if spec.probabilities else curves.mean(axis=1))
            scored = list(self._scored(choose(probabilities), batch, curves.shape[1]))
            for done, (keys, score, inside) in enumerate(scored):
                found = class_activation_maps(capture, score, at_layers)
                at_input = self._at_input(capture, score, done, len(scored))
                found |= {(method, INPUT): one.heat for method, one in at_input.items()}
                heats = {place: separate_copy(heat.cpu().numpy()) for place, heat in found.items()}
                self._record_slopes(capture, score, keys, heats)
                scores = score(capture.output).detach()
                for i, key in enumerate(keys):
                    of_window = {
                        place: heat[i] if inside[i] else np.zeros_like(heat[i]) for place, heat in heats.items()
                    }
                    raw = scores[i].item() if inside[i] else -np.inf
                    index = _class_of(key)
                    known = index is not None and spec.probabilities is not None
                    probability = float(probabilities[i, index] * inside[i]) if known else None
                    of_class = isinstance(key, int | InTime)
                    curve = curves[i, :, index] if of_class else np.array([raw], np.float32)
                    top = int(probabilities[i].argmax()) if spec.probabilities and probabilities.shape[1] else None
                    converged = {m: float(one.converged[i]) for m, one in at_input.items() if one.converged is not None}
                    maps[i][key] = WindowMap(of_window, raw, probability, curve, top, converged=converged)
        return Attributed(probabilities, curves, maps)

    def _at_input(self, capture: Capture, score: ScoreFunction, done: int, targets: int) -> dict[str, InputMap]:
        """Return the maps of a target by the methods at the input; `done` of the batch's targets have theirs."""
        methods = [method for method in self.methods if method in INPUT_METHODS]
        expected = {method: self.params.passes or PASSES[method] for method in methods}
        total, before, found = sum(expected.values()), 0, {}
        for method in methods:
            self.passes[method] = 0

            def on_pass(method: str = method, before: int = before) -> None:
                self.passes[method] += 1
                share = (before + min(self.passes[method], expected[method])) / total
                self.on_share((done + share) / targets)

            found[method] = input_map(capture, score, method, self.params, on_pass)
            before += expected[method]
        return found

    def _record_slopes(
        self, capture: Capture, score: ScoreFunction, keys: Sequence[Key], heats: Mapping[tuple[str, str], np.ndarray]
    ) -> None:
        """Record where the score of windows whose maps are all empty has a gradient."""
        empty = {layer for (_, layer), heat in heats.items() if layer in self.layers and not heat.any()}
        if all((key, layer) in self.sloped for key in keys for layer in empty):
            return
        with suppress(LayerError):  # a method without gradients explains layers that have none
            for layer, gradient in capture.gradients(score(capture.output)).items():
                if layer in empty:
                    self.sloped |= {(key, layer) for key, of_window in zip(keys, gradient) if of_window.any()}

    def _curves(self, output: Any, windows: int) -> np.ndarray:
        """Return the probabilities or values of N windows at each step, (N, t, classes), in a network's output.

        Raises:
            ModelError: they are not finite, or not probabilities.
            TargetError: the output holds no class scores.
        """
        spec = self.model.spec
        if spec.unrecognised:
            return np.zeros((windows, 1, 0), np.float32)
        scores = spec.frame_scores(output).detach().float()
        if not torch.isfinite(scores).all():
            raise ModelError(
                f"{spec.name} gives scores that are not finite; its weights ({self.model.weights}) are damaged"
            )
        if spec.probabilities is None:
            return rearrange(scores, "n c t -> n t c").cpu().numpy()
        if spec.probabilities is softmax and self.softmaxed is not False:
            self.softmaxed = recognised(rearrange(scores, "n c t -> (n t) c")) == "softmax"
        curves = step_probabilities(spec, scores).cpu().numpy()
        if not (curves >= -1e-4).all() or not (curves <= 1 + 1e-4).all():  # not a number is neither
            raise ModelError(
                f"{spec.name} has probabilities from {curves.min():.5g} to {curves.max():.5g}; give a function "
                "that returns probabilities between 0 and 1"
            )
        return curves

    def _scored(
        self, chosen: Sequence[Sequence[Key]], batch: Batch, steps: int
    ) -> Iterator[tuple[Sequence[Key], ScoreFunction, np.ndarray]]:
        """Yield one target of each window at a time, (N,), the function of their scores, and a mask, (N,) bool.

        The mask is False for windows that do not hold the target's time.

        Raises:
            TargetError: a target has a time and the windows have none.
        """
        spec, everywhere = self.model.spec, np.ones(len(chosen), bool)
        indices = [[key for key in keys if isinstance(key, int)] for keys in chosen]
        for rank in range(max(map(len, indices))):
            ranked = [some[min(rank, len(some) - 1)] for some in indices]
            yield ranked, classes(torch.tensor(ranked), spec.class_scores), everywhere
        for key in dict.fromkeys(key for keys in chosen for key in keys if not isinstance(key, int)):
            if isinstance(key, InTime):
                at, inside = _steps_at(key.seconds, batch, steps)
                yield [key] * len(chosen), in_time(key.index, torch.from_numpy(at), spec.frame_scores), inside
            else:
                yield [key] * len(chosen), key, everywhere


def step_probabilities(spec: ModelSpec, scores: Tensor) -> Tensor:
    """Return class probabilities at each step, (N, t, classes), of scores (N, classes, t).

    The probability of a window is the highest of its steps: the class is there if it is there at some time.

    Raises:
        ModelError: the scores are values.
    """
    if spec.probabilities is None:
        raise ModelError(f"{spec.name} gives values and no probabilities, which are needed here; explain it")
    steps = spec.probabilities(rearrange(scores, "n c t -> (n t) c"))
    return rearrange(steps, "(n t) c -> n t c", n=len(scores))


def _class_of(key: Key) -> int | None:
    """Return the index of the class whose probability is that of a target; None for a function."""
    match key:
        case int():
            return key
        case InTime():
            return key.index
        case Contrast():
            return key.toward
    return None


def _steps_at(seconds: float, batch: Batch, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the step of each window that is nearest to a time, (N,), and a mask of windows that hold it, (N,) bool.

    Args:
        seconds: the time on the clip's clock.
        batch: the windows.
        steps: in time, for which the network has scores in a window.

    Raises:
        TargetError: the windows have no times.
    """
    if batch.times is None:
        raise TargetError("windows that are not of a clip have no times; explain the class without one")
    away = np.where(np.isnan(batch.times), np.inf, np.abs(batch.times - seconds))
    frame = away.argmin(axis=1)
    inside = np.zeros(len(away), bool)
    for window, times in enumerate(batch.times):
        own = np.sort(times[~np.isnan(times)])
        if len(own):  # a frame lasts half a step to both sides
            before, after = (own[1] - own[0], own[-1] - own[-2]) if len(own) > 1 else (batch.step, batch.step)
            inside[window] = own[0] - 0.501 * before <= seconds <= own[-1] + 0.501 * after
    return frame * steps // batch.times.shape[1], inside
