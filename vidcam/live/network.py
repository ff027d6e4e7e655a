"""The network of a live run: it explains one window after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vidcam.engine.attribution import Attributor, Key
from vidcam.engine.loader import Batch, WindowLoader, network_input
from vidcam.engine.memory import give_back_freed_memory
from vidcam.engine.notes import domain_note, softmax_note
from vidcam.engine.precision import optimized
from vidcam.live.window import ExplainedWindow, LiveWindow
from vidcam.models.evaluating import evaluating
from vidcam.models.registry import Model
from vidcam.temporal.factor import Factor, window_factors
from vidcam.video.source import OnceSource

if TYPE_CHECKING:
    from vidcam.recipe import Dtype

CLASSES = 3
"""Classes explained in a window, its most probable ones: the class that is shown is not always its first."""

_GIVE_BACK_EVERY = 64  # windows
_JUDGED = 8  # windows, the first ones, by which the network's answers are judged


class LiveNetwork:
    """A network that explains windows of a stream by one method at one layer.

    Args:
        model: the network.
        layer: name of the target layer.
        method: a key of `vidcam.cam.methods.METHODS`.
        factor: of each window's map, "probability" or "none".
        dtype: of the trunk, as of a recipe; the first window decides for "auto".
        target: the explained target; None for the most probable classes of each window.
    """

    def __init__(self, model: Model, layer: str, method: str, factor: Factor, dtype: Dtype, target: Key | None) -> None:
        self._model, self._layer, self._method = model, layer, method
        self._factor, self._dtype, self._target = factor, dtype, target
        self._attributor: Attributor | None = None
        self._explained = self._inside = 0  # windows, and those of the network's domain, of the first ones
        self._heat = False  # True if a window had some
        self._foreign = False  # True once it is said that the windows are not of the network's domain

    def new_notes(self) -> list[str]:
        """Return notes on the network's answers that were not returned before; call it after each window."""
        if self._attributor is None:
            return []
        model, spec, notes = self._attributor.model, self._model.spec, []
        if self._explained == 1 and model.note:
            notes.append(model.note)
        outside = spec.inside is not None and 2 * self._inside < self._explained
        if outside and self._explained in (1, _JUDGED) and not self._foreign:
            self._foreign = True
            notes.append(domain_note(spec))
        if self._explained == _JUDGED:
            if self._attributor.softmaxed and "probabilities itself" not in model.note:
                notes.append(softmax_note(spec))
            if not self._heat:
                notes.append(f"the heat of the first {_JUDGED} windows is empty; try method gradcam, or another layer")
        return notes

    def explain(self, window: LiveWindow) -> ExplainedWindow:
        """Return the probabilities and maps of a window.

        Raises:
            ModelError: its scores are not finite.
            VidcamError: the layer or target cannot be explained.
        """
        with evaluating(self._model.network):
            return self._explained_window(window)

    def _explained_window(self, window: LiveWindow) -> ExplainedWindow:
        if self._attributor is None:
            self._attributor = Attributor(self._optimized(window), [self._layer], [self._method])
        began = time.perf_counter()
        times = np.linspace(window.begins, window.ends, len(window.frames))[None]
        batch = Batch([window.start], network_input(self._attributor.model, [window.frames]), times=times)
        found = self._attributor.maps(batch, self._targets)
        maps = {
            key: of_key.heat[self._method, self._layer] * self._factor_of(of_key.raw, of_key.probability)
            for key, of_key in found.maps[0].items()
        }
        scores = {key: of_key.curve for key, of_key in found.maps[0].items()}
        seconds = time.perf_counter() - began
        self._explained += 1
        self._heat |= any(heat.any() for heat in maps.values())
        if self._model.spec.inside is not None and self._explained <= _JUDGED:
            self._inside += bool(self._model.spec.inside(batch.given)[0])
        if self._explained % _GIVE_BACK_EVERY == 0:
            give_back_freed_memory()
        of_window = window.stretch, window.start, window.begins, window.ends, window.windowing
        return ExplainedWindow(*of_window, found.curves[0], maps, scores, seconds)

    def _optimized(self, window: LiveWindow) -> Model:
        model = self._model
        source = OnceSource(iter(window.frames), window.windowing.rate or model.spec.frame_rate or 25.0)
        spec = replace(model.spec, preprocess=model.spec.preprocess.of_crops())
        loader = WindowLoader(source, spec, replace(window.windowing, sampling_rate=1, rate=None, stride=1), _ignored)
        return optimized(model, [self._layer], self._dtype, loader)

    def _targets(self, probabilities: np.ndarray) -> Sequence[Sequence[Key]]:
        """Return the target, or the most probable classes, of each window, given (N, classes) probabilities."""
        if self._target is not None:
            return [[self._target]] * len(probabilities)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [[int(k) for k in row[:CLASSES]] for row in order]

    def _factor_of(self, raw: float, probability: float | None) -> float:
        known = None if probability is None else np.array([probability], np.float32)
        return float(window_factors(self._factor, np.array([raw]), known)[0])


def _ignored(done: int, announced: int) -> None:
    """Take no notice of progress."""
