"""Inference on frames in memory: the explainers of a network under evaluation, and its confidence in windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.cam.inputs import forward
from vidcam.engine.attribution import step_probabilities
from vidcam.engine.loader import normalised
from vidcam.errors import SettingsError
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer
from vidcam.models.inference import prepared, structure_of
from vidcam.models.preprocess import Preprocess
from vidcam.models.probe import quickest_dtype
from vidcam.models.registry import Model
from vidcam.results.explanation import Explanation
from vidcam.temporal.curves import clip_probabilities
from vidcam.video.windows import sliding_windows

_BATCH = 8


@dataclass(frozen=True)
class Subject:
    """A network under evaluation; both explainers take frames that are resized and cropped already.

    Attributes:
        exact: explains windows with the network as it was loaded.
        fast: explains whole clips and classifies perturbed ones with a copy optimized for inference.
        preprocess: resizes and crops whole frames.
    """

    exact: Explainer
    fast: Explainer
    preprocess: Preprocess

    @classmethod
    def of(cls, explainer: Explainer) -> Subject:
        """Return the subject of an explainer, in its recipe's dtype; "auto" is the fastest here and is not checked.

        Raises:
            SettingsError: the recipe has several kinds of evidence.
        """
        if len(explainer.recipe.evidences) > 1:
            raise SettingsError(f"{explainer.recipe.evidence} are several kinds of evidence; evaluate one of them")
        spec = explainer.model.spec
        model = replace(explainer.model, spec=replace(spec, preprocess=spec.preprocess.of_crops()))
        dtype = explainer.recipe.dtype
        chosen = quickest_dtype(model.device) if dtype == "auto" else getattr(torch, dtype)
        return cls(
            explainer.on(model),
            explainer.on(prepared(model, chosen, structure_of(model, explainer.layers))),
            spec.preprocess,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The network's classes."""
        return self.exact.model.labels

    def clip_explanations(
        self, sample: Sample, target: int, frames: np.ndarray | None = None
    ) -> dict[str, Explanation]:
        """Explain a class in a clip, or in other frames at its rate.

        Args:
            sample: the clip.
            target: index of the class.
            frames: (F, H, W, 3) uint8 instead of the sample's own.

        Returns:
            Method → explanation; several layers are fused.
        """
        found = self.fast.explain(sample.source if frames is None else replace(sample, frames=frames).source, target)
        return {explanation.method: explanation for explanation in reversed(found)}  # the fused one comes first

    def window_maps(self, frames: np.ndarray, target: int, explainer: Explainer | None = None) -> dict[str, np.ndarray]:
        """Explain a class in one window.

        Args:
            frames: (T, H, W, 3) uint8.
            target: index of the class.
            explainer: `exact` by default.

        Returns:
            Method → map (t, h, w), 0 or more; several layers are fused.
        """
        found = (explainer or self.exact).maps(pixels(frames)[None], target)
        return {method: maps[0] for method, maps in found.items()}


def outputs(model: Model, clips: Tensor) -> Iterator[Any]:
    """Yield the network's output on each batch of windows of pixels (N, 3, T, H, W) in 0..255."""
    for part in torch.split(clips, _BATCH):
        yield forward(model.network, model.spec.pack(normalised(model, part)))


@torch.no_grad()
def confidences(model: Model, clips: Tensor) -> np.ndarray:
    """Return class probabilities (N, classes) of windows of pixels (N, 3, T, H, W) in 0..255."""
    found = []
    for output in outputs(model, clips):
        scores = model.spec.frame_scores(output).float()
        found.append(step_probabilities(model.spec, scores).amax(1).cpu())
    return torch.cat(found).numpy()


def pixels(frames: np.ndarray) -> Tensor:
    """Return frames (T, H, W, 3) uint8 as float pixels (3, T, H, W)."""
    return rearrange(torch.from_numpy(np.ascontiguousarray(frames)).float(), "t h w c -> c t h w")


@dataclass(frozen=True)
class Prediction:
    """The predicted class of a clip, and the window in which a class has the highest confidence.

    Attributes:
        predicted: index of the clip's most probable class.
        window: (T, H, W, 3) uint8 frames of the most confident window.
        start: index of its first source frame.
    """

    predicted: int
    window: np.ndarray
    start: int


def predict(explainer: Explainer, sample: Sample, of: int | None = None) -> Prediction:
    """Return the clip's class, and the window with the highest confidence in that class or in class `of`."""
    model = explainer.model
    cut = list(sliding_windows(sample.frames, explainer.windowing(float(sample.source.frame_rate))))
    probabilities = confidences(model, torch.stack([pixels(np.stack(w.frames)) for w in cut]))
    predicted = int(clip_probabilities(probabilities, model.background).argmax())
    best = cut[int(probabilities[:, predicted if of is None else of].argmax())]
    return Prediction(predicted, np.stack(best.frames), best.start)


def upsampled(maps: np.ndarray, height: int, width: int, frames: int | None = None) -> Tensor:
    """Return a map (F, h, w) on the grid of pixels, (frames or F, height, width), by trilinear interpolation."""
    volume = torch.from_numpy(np.ascontiguousarray(maps, np.float32))[None, None]
    size = (frames or len(maps), height, width)
    return torch.nn.functional.interpolate(volume, size=size, mode="trilinear", align_corners=False)[0, 0]
