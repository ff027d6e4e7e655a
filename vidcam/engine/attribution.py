"""Attribution: from a batch of windows to its maps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.targets import Contrast, ScoreFunction, class_scores, classes
from vidcam.engine.loader import Batch
from vidcam.engine.memory import separate_copy
from vidcam.errors import ModelError
from vidcam.models.registry import Model

Key = int | ScoreFunction
"""A target: the index of a class, or a function of the output."""

Choose = Callable[[np.ndarray], Sequence[Sequence[Key]]]
"""From the probabilities of windows, (N, classes), to the targets of each."""


@dataclass(frozen=True)
class WindowMap:
    """The maps of one window for one target.

    Attributes:
        heat: (method, layer) → map (t, h, w).
        raw: the target's score before softmax.
        probability: of the target's class, or of the class that a contrast speaks for; None for another function.
        score: the probability of a class, else the raw score.
    """

    heat: dict[tuple[str, str], np.ndarray]
    raw: float
    probability: float | None
    score: float


Maps = dict[Key, WindowMap]

Attributed = tuple[np.ndarray, list[Maps]]
"""Probabilities (N, classes) of a batch of windows, and the maps of each window."""


@dataclass
class Attributor:
    """Explains windows at fixed layers by fixed methods.

    Attributes:
        model: the network.
        layers: names of the target layers.
        methods: keys of `vidcam.cam.methods.METHODS`.
        max_batch: largest batch size that has not run out of memory.
    """

    model: Model
    layers: Sequence[str]
    methods: Sequence[str]
    max_batch: int = field(default=sys.maxsize, init=False)

    def maps(self, batch: Batch, choose: Choose) -> Attributed:
        """Explain each window of a batch for the targets that are chosen for it.

        A batch that does not fit into the device's memory is computed in halves, and so are those after it.

        Raises:
            ModelError: a single window does not fit, or a span; or the scores are not finite.
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
            torch.cuda.empty_cache()  # not above: until the except is left, the error holds what was computed
            self.max_batch = windows // 2
        half = windows // 2
        halves = [Batch(batch.starts[:half], batch.given[:half]), Batch(batch.starts[half:], batch.given[half:])]
        found = [self.maps(one, choose) for one in halves]
        return np.concatenate([probabilities for probabilities, _ in found]), [m for _, maps in found for m in maps]

    def _maps(self, batch: Batch, choose: Choose) -> Attributed:
        model, spec = self.model, self.model.spec
        maps: list[Maps] = [{} for _ in batch.starts]
        with captured(
            model.network, self.layers, batch.given, layout=spec.layout, pack=spec.pack, cut=batch.cut
        ) as capture:
            output = class_scores(capture.output)
            if not torch.isfinite(output).all():
                raise ModelError(
                    f"{spec.name} gives scores that are not finite; its weights ({model.weights}) are damaged"
                )
            probabilities = spec.probabilities(output.detach().float()).cpu().numpy()
            chosen = choose(probabilities)
            indices = [[key for key in keys if isinstance(key, int)] for keys in chosen]
            scored: list[tuple[Sequence[Key], ScoreFunction]] = []
            for rank in range(max(map(len, indices))):
                ranked = [some[min(rank, len(some) - 1)] for some in indices]
                scored.append((ranked, classes(torch.tensor(ranked))))
            for function in dict.fromkeys(key for keys in chosen for key in keys if callable(key)):
                scored.append(([function] * len(chosen), function))
            for keys, score in scored:
                found = class_activation_maps(capture, score, self.methods)
                heats = {place: separate_copy(heat.cpu().numpy()) for place, heat in found.items()}
                scores = score(capture.output).detach()
                for i, key in enumerate(keys):
                    of_class = key.toward if isinstance(key, Contrast) else key
                    probability = float(probabilities[i, of_class]) if isinstance(of_class, int) else None
                    raw = scores[i].item()
                    shown = probability if isinstance(key, int) and probability is not None else raw
                    of_window = {place: heat[i] for place, heat in heats.items()}
                    maps[i][key] = WindowMap(of_window, raw, probability, shown)
        return probabilities, maps
