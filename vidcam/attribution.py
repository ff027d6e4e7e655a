"""From a batch of windows to its maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vidcam.allocator import apart
from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.targets import ScoreFunction, class_scores, classes
from vidcam.errors import ModelError
from vidcam.models.registry import Model
from vidcam.reading import Batch

Key = int | ScoreFunction
"""What is explained: the index of a class, or a function of the output."""


@dataclass(frozen=True)
class WindowMap:
    """What one window says about one target: (method, layer) → map (t, h, w), and the score."""

    heat: dict[tuple[str, str], np.ndarray]
    score: float


Maps = dict[Key, WindowMap]


def attribute(
    model: Model,
    layers: Sequence[str],
    methods: Sequence[str],
    batch: Batch,
    choose: Callable[[np.ndarray], Sequence[Sequence[Key]]],
) -> tuple[np.ndarray, list[Maps]]:
    """Probabilities (N, classes) of a batch of windows, and for each window the maps of its chosen keys."""
    spec = model.spec
    maps: list[Maps] = [{} for _ in batch.starts]
    with captured(model.network, layers, batch.given, layout=spec.layout, pack=spec.pack, cut=batch.cut) as capture:
        output = class_scores(capture.output)
        if not torch.isfinite(output).all():
            raise ModelError(f"{spec.name} gives scores that are not finite; its weights ({model.weights}) are damaged")
        probabilities = spec.probabilities(output.detach().float()).cpu().numpy()
        chosen = choose(probabilities)
        for rank in range(max(len(keys) for keys in chosen)):
            keys = [k[min(rank, len(k) - 1)] for k in chosen]
            score = keys[0] if callable(keys[0]) else classes(torch.tensor(keys))
            found = class_activation_maps(capture, score, methods)
            heats = {place: apart(heat.cpu().numpy()) for place, heat in found.items()}
            scores = score(capture.output).detach()
            for i, key in enumerate(keys):
                value = probabilities[i, key] if isinstance(key, int) else scores[i].item()
                maps[i][key] = WindowMap({place: heat[i] for place, heat in heats.items()}, float(value))
    return probabilities, maps
