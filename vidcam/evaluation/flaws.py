"""Networks with known flaws: the share of a map that lies on what the network looks at, and the motion share.

The network decides by the cause alone, so a method that explains it must put its heat there; the flaw would otherwise
stay unseen. The clips are fresh ones in which a shortcut disagrees with the class that it stood for in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from vidcam.errors import LayerError
from vidcam.evaluation.inference import pixels, upsampled
from vidcam.explainer import Explainer
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.estimate import Estimate, estimate
from vidcam.models.registry import Model
from vidcam.playground.flaws import FLAWS, FlawedClip, render
from vidcam.playground.training.flawed import REACH
from vidcam.recipe import Recipe
from vidcam.temporal.motion import Evidence

PASSES = 0.8
"""Least share of the heat on the cause with which a method shows a flaw."""

_SPLIT: tuple[tuple[Evidence, str], ...] = (("whole", "disc"), ("motion", "disc"), ("appearance", "square"))
"""Kinds of evidence, and elements that they are measured on in clips with two causes."""


@dataclass(frozen=True)
class FlawFigures:
    """Figures of one network with a known flaw, means over clips.

    Attributes:
        flaw: a key of `FLAWS`.
        network: the network's name.
        accuracy: share of clips whose class is the one that the cause shows: the network has its flaw.
        motion_share: over the clips; None where it is undefined in all of them.
        on_cause: method or baseline → share of the heat on the cause; None for a method that cannot explain the network.
        on_element: "motion on disc" and so on → method → share of this evidence's heat on the element; for two causes.
    """

    flaw: str
    network: str
    accuracy: Estimate
    motion_share: Estimate | None
    on_cause: dict[str, Estimate | None]
    on_element: dict[str, dict[str, Estimate | None]]

    def json(self) -> dict[str, Any]:
        """Return the figures ready for JSON, each with its interval and its number of clips."""
        return {
            "flaw": self.flaw,
            "network": self.network,
            "cause": list(FLAWS[self.flaw].cause),
            "accuracy": _plain(self.accuracy),
            "motion_share": _plain(self.motion_share),
            "true_motion_share": FLAWS[self.flaw].motion_share,
            "on_cause": {name: _plain(value) for name, value in self.on_cause.items()},
            "on_element": {
                what: {name: _plain(value) for name, value in of.items()} for what, of in self.on_element.items()
            },
        }


def _plain(value: Estimate | None) -> dict[str, Any] | None:
    return None if value is None else {"mean": value.mean, "interval": [value.low, value.high], "clips": value.count}


def flaw_figures(
    flaw: str,
    model: Model,
    seed: int,
    count: int,
    methods: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> FlawFigures:
    """Return the figures of a network with a known flaw on fresh clips.

    Args:
        flaw: a key of `FLAWS`.
        model: the network, see `vidcam.playground.training.flawed.flawed_model`.
        seed, count: of the clips.
        methods: names of `vidcam.cam.input_methods.METHOD_NAMES`.
        progress: called with the number of methods done and the number of all.
    """
    clips = [render(flaw, seed, index) for index in range(count)]
    cause = FLAWS[flaw].cause
    on_cause: dict[str, Estimate | None] = {}
    on_element: dict[str, dict[str, Estimate | None]] = {}
    for done, method in enumerate(methods):
        progress(done, len(methods))
        on_cause[method] = _on_elements(model, clips, cause, method, "whole")
        for evidence, element in _SPLIT if len(cause) > 1 else ():
            of_methods = on_element.setdefault(f"{evidence} on {element}", {})
            of_methods[method] = _on_elements(model, clips, (element,), method, evidence)
    progress(len(methods), len(methods))
    for name, baseline in BASELINES.items():
        on_cause[name] = estimate(
            heat_on(baseline(clip.frames, index), clip.mask(cause), REACH) for index, clip in enumerate(clips)
        )
    right, shares = _predictions(model, clips)
    return FlawFigures(
        flaw, model.spec.name, estimate(right), estimate(shares) if len(shares) else None, on_cause, on_element
    )


def heat_on(heat: np.ndarray, mask: np.ndarray, reach: int) -> float:
    """Return the share of a map's heat near a mask, in the same frame or the one before or after; 0 without heat.

    With half a receptive field as the reach, heat that is farther away is at cells that do not see the mask.

    Args:
        heat: (t, h, w), 0 or more.
        mask: (T, H, W) bool.
        reach: in pixels, along rows and along columns.

    Example:
        >>> mask = np.zeros((1, 8, 8), bool); mask[0, 0, 0] = True
        >>> heat_on(np.ones((1, 8, 8)), mask, 1)  # 2 by 2 of 64 pixels
        0.0625
    """
    steps, height, width = mask.shape
    fine = upsampled(heat, height, width, steps).numpy()
    near = ndimage.maximum_filter(mask, size=(3, 2 * reach + 1, 2 * reach + 1))
    total = float(fine.sum())
    return float(fine[near].sum()) / total if total > 0 else 0.0


def _on_elements(
    model: Model, clips: Sequence[FlawedClip], names: tuple[str, ...], method: str, evidence: Evidence
) -> Estimate | None:
    """Return the share of a method's heat on some elements, or None if it cannot explain the network."""
    heats = clip_heats(model, clips, method, evidence)
    if heats is None:
        return None
    return estimate(heat_on(heat, clip.mask(names), REACH) for heat, clip in zip(heats, clips))


def clip_heats(
    model: Model, clips: Sequence[FlawedClip], method: str, evidence: Evidence = "whole"
) -> list[np.ndarray] | None:
    """Return the map of each clip's class, (t, h, w), or None if the method cannot explain the network."""
    explainer = Explainer(model, Recipe(method=method, evidence=evidence, dtype="float32"))
    found: dict[int, np.ndarray] = {}
    try:
        for label in {clip.label for clip in clips}:
            indices = [index for index, clip in enumerate(clips) if clip.label == label]
            windows = torch.stack([pixels(clips[index].frames) for index in indices])
            found |= dict(zip(indices, explainer.maps(windows, label)[method]))
    except LayerError:
        return None
    return [found[index] for index in range(len(clips))]


def _predictions(model: Model, clips: Sequence[FlawedClip]) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 for each clip whose class is recognised, else 0, and the motion shares of the clips that have one."""
    explainer = Explainer(model, Recipe(evidence="motion", dtype="float32"))
    right, shares = [], []
    for clip in clips:
        found = explainer.explain(clip.frames, clip.label)[0]
        right.append(found.top[0][0] == model.labels[clip.label])
        if found.motion is not None and found.motion.share is not None:
            shares.append(found.motion.share)
    return np.array(right, float), np.array(shares)
