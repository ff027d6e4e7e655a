"""A clip the network gets wrong: why it said what it said, what speaks for the right class, and how little restores it.

Measured on the window in which the network is surest of the wrong class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcam.errors import ClipError
from vidcam.evaluation.samples import Sample
from vidcam.evaluation.watching import confidences, pixels, upsampled, watch, window_maps
from vidcam.metrics.faithfulness import filling
from vidcam.metrics.perturbation import (
    KEPT_STEPS,
    area_under,
    highest_confidence,
    insertion_frames,
    kept_frames,
    ranks,
    strongest,
)
from vidcam.models.registry import Model

_STEPS = 10  # of insertion


@dataclass(frozen=True)
class Side:
    """What one class, the true or the predicted one, has for it in the window.

    Attributes:
        label: the class.
        probability: in the whole window.
        insertion_auc: of the class's probability while the window becomes sharp in the order of the class's map.
        highest_confidence: the highest it reaches when only the strongest i/25 of that map is left, i = 1 to 24 (Chen
            et al. 2024, arXiv 2402.09164); its mean over clips is the average highest confidence.
    """

    label: str
    probability: float
    insertion_auc: float
    highest_confidence: float


@dataclass(frozen=True)
class Misclassified:
    """A clip the network gets wrong.

    Attributes:
        clip: its name.
        start: first frame of the window that was looked into.
        true, predicted: the two classes.
        kept: the smallest share of the window that restores the right answer when the rest is blurred, in the order of
            the true class's map; None where no share up to 24/25 does.
        removed: the same when it is blurred itself, in the order of the predicted class's map.
    """

    clip: str
    start: int
    true: Side
    predicted: Side
    kept: float | None
    removed: float | None

    @property
    def restored_by(self) -> float | None:
        """The smaller of the two shares."""
        return min((share for share in (self.kept, self.removed) if share is not None), default=None)


@dataclass(frozen=True)
class Errors:
    """How a clip is looked into, for `vidcam.evaluation.run.measured`.

    Attributes:
        layers: target layers; several are fused.
        method: a key of `METHODS`.
        quick: the model that watches and explains, see `vidcam.models.inference.prepared`.
    """

    layers: Sequence[str]
    method: str
    quick: Model

    def __call__(self, model: Model, sample: Sample) -> dict[str, dict[str, Any]]:
        """Whether the clip is understood, and what there is to say where it is not.

        Raises:
            ClipError: as for `understood`.
        """
        if understood(self.quick, sample):
            return {"clip": {"right": 1.0}}
        return {"clip": {"right": 0.0}, "error": asdict(misclassified(self.quick, self.layers, self.method, sample))}


def errors_of(records: Sequence[Mapping[str, Any]]) -> list[Misclassified]:
    """The errors in the records of clips."""
    found = []
    for record in records:
        if facts := record.get("figures", {}).get("error"):
            sides = {"true": Side(**facts["true"]), "predicted": Side(**facts["predicted"])}
            found.append(Misclassified(**{**facts, **sides}))
    return found


def understood(model: Model, sample: Sample) -> bool:
    """Whether the network names the clip rightly.

    Raises:
        ClipError: it is not known what happens in the clip, or the network has no such class.
    """
    return model.labels[watch(model, sample.frames, sample.windowing).predicted] == _label(model, sample)


def misclassified(model: Model, layers: Sequence[str], method: str, sample: Sample) -> Misclassified:
    """Look into a clip that the network gets wrong.

    Args:
        model: as it explains; see `vidcam.models.inference.prepared`.
        layers: target layers; several are fused.
        method: a key of `METHODS`.
        sample: the clip.

    Raises:
        ClipError: as for `understood`.
    """
    true = model.labels.index(_label(model, sample))
    watched = watch(model, sample.frames, sample.windowing)
    frames = pixels(watched.surest)
    blurred = filling(frames, "blur")
    orders: dict[int, Tensor] = {}
    for target in (true, watched.predicted):
        heat = window_maps(model, watched.surest, layers, [method], target)[method]
        orders[target] = ranks(upsampled(heat, frames.shape[2], frames.shape[3], frames.shape[1]))
    shares = [i / KEPT_STEPS for i in range(1, KEPT_STEPS)]
    kept = strongest(frames, orders[true], shares, blurred)
    removed = strongest(blurred, orders[watched.predicted], shares, frames)
    return Misclassified(
        clip=sample.name,
        start=watched.start,
        true=_side(model, frames, blurred, orders[true], true),
        predicted=_side(model, frames, blurred, orders[watched.predicted], watched.predicted),
        kept=_first(confidences(model, kept).argmax(1) == true, shares),
        removed=_first(confidences(model, removed).argmax(1) == true, shares),
    )


def _side(model: Model, frames: Tensor, blurred: Tensor, order: Tensor, target: int) -> Side:
    clips = [frames[None], insertion_frames(frames, order, _STEPS, blurred), kept_frames(frames, order)]
    scores = confidences(model, torch.cat(clips))[:, target]
    inserted, left = scores[1 : _STEPS + 2], scores[_STEPS + 2 :]
    return Side(model.labels[target], float(scores[0]), area_under(inserted), highest_confidence(left, 1.0))


def _first(right: np.ndarray, shares: Sequence[float]) -> float | None:
    return next((share for share, fine in zip(shares, right) if fine), None)


def _label(model: Model, sample: Sample) -> str:
    if sample.label is None or sample.label not in model.labels:
        raise ClipError(
            f"{sample.name}: what happens in it is {sample.label or 'not known'}, which {model.spec.name} cannot say; "
            "list the clips of the folder in labels.csv, rows of clip,label"
        )
    return sample.label
