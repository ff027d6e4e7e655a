"""Elements of small clips with joint causes: the true effect of each, by drawing the clip without it, beside its heat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, product
from typing import Any

import numpy as np
import torch

from vidcam.cam.shapley import shapley_values
from vidcam.evaluation.flaws import clip_heats
from vidcam.evaluation.inference import outputs, pixels, upsampled
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.sanity import rank_correlation
from vidcam.models.registry import Model
from vidcam.playground.flaws import Flaw, FlawedClip


@dataclass(frozen=True)
class ElementFigures:
    """Figures of clips whose class the network recognises, one entry for each clip; see `vidcam.evaluation.causes.averaged`.

    Attributes:
        effects: element → "share", its Shapley value in the score of the clip's class; "size", that without its sign; "alone",
            the fall of the score when it alone is left out; "all", the fall when all elements are.
        ranks: method or baseline → "sum" or "mean" → Spearman's correlation of the heat on each element's visible pixels,
            summed or averaged, with the size of its Shapley value. A method that cannot explain the network is left out.
        tried: number of clips, those that the network does not recognise included.
    """

    effects: list[dict[str, Any]]
    ranks: list[dict[str, Any]]
    tried: int


def element_figures(
    kind: Flaw,
    model: Model,
    seed: int,
    count: int,
    methods: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> ElementFigures:
    """Return the effects of elements on a network, and how the heat on them ranks them.

    Args:
        kind: of the clips, see `vidcam.playground.joint_causes.JOINT_CAUSES`.
        model: a network that was trained on such clips.
        seed, count: of the clips.
        methods: names of `vidcam.cam.input_methods.METHOD_NAMES`.
        progress: called with the number of methods done and of all.
    """
    clips: list[FlawedClip] = []
    effects: list[dict[str, Any]] = []
    for index in range(count):
        clip = kind.render(seed, index)
        names = _visible(clip)
        values, recognised = _values(kind, model, seed, index, names, clip.label)
        if recognised:
            clips.append(clip)
            effects.append(_effects(names, values))
    heats = {name: [of(clip.frames, index) for index, clip in enumerate(clips)] for name, of in BASELINES.items()}
    for done, method in enumerate(methods):
        progress(done, len(methods))
        found = clip_heats(model, clips, method)
        heats = heats if found is None else {method: found, **heats}
    progress(len(methods), len(methods))
    ranks = [
        {name: _rank(of[index], clip, effects[index]) for name, of in heats.items()} for index, clip in enumerate(clips)
    ]
    return ElementFigures(effects, ranks, count)


def _visible(clip: FlawedClip) -> list[str]:
    return [name for name, mask in clip.elements.items() if mask.any()]


def _values(
    kind: Flaw, model: Model, seed: int, index: int, names: Sequence[str], label: int
) -> tuple[np.ndarray, bool]:
    """Return the score of a clip's class for each set of elements, (2^n,), and True if the network recognises the clip.

    Bit i of the index of a value says that element i is drawn.
    """
    sets = [drawn[::-1] for drawn in product((False, True), repeat=len(names))]
    without = [set(names) - set(compress(names, drawn)) for drawn in sets]
    drawn = [pixels(kind.render(seed, index, without=some).frames) for some in without]
    with torch.inference_mode():
        scores = torch.cat([model.spec.class_scores(output) for output in outputs(model, torch.stack(drawn))]).double()
    return scores[:, label].numpy(), int(scores[-1].argmax()) == label


def _effects(names: Sequence[str], values: np.ndarray) -> dict[str, Any]:
    shares, whole = shapley_values(values), values[-1]
    return {
        name: {
            "share": float(share),
            "size": abs(float(share)),
            "alone": float(whole - values[len(values) - 1 - (1 << bit)]),
            "all": float(whole - values[0]),
        }
        for bit, (name, share) in enumerate(zip(names, shares))
    }


def _rank(heat: np.ndarray, clip: FlawedClip, effects: dict[str, Any]) -> dict[str, float]:
    frames, height, width = clip.frames.shape[:3]
    fine = upsampled(heat, height, width, frames).numpy()
    sizes = np.array([of["size"] for of in effects.values()])
    masks = [clip.elements[name] for name in effects]
    sums = np.array([fine[mask].sum() for mask in masks])
    areas = np.array([mask.sum() for mask in masks])
    return {"sum": rank_correlation(sums, sizes), "mean": rank_correlation(sums / areas, sizes)}
