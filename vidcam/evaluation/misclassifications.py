"""Misclassified clips: the evidence for the true and the predicted class, and the smallest correcting change.

Measured on the window with the highest confidence in the predicted class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
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
from vidcam.results.misclassification import Misclassification, Side

_STEPS = 10  # of insertion


@dataclass(frozen=True)
class Misclassifications:
    """The measure of a clip's misclassification, for `vidcam.evaluation.run.measure_clips`.

    Attributes:
        subject: the network; its fast copy predicts and explains.
    """

    subject: Subject

    def __call__(self, sample: Sample) -> dict[str, dict[str, Any]]:
        """Classify a clip, and explain both classes if the network is wrong.

        Returns:
            {"clip": {"right": 1 or 0}}, and if it is 0 the fields of a `Misclassification` under "error".

        Raises:
            ClipError: as by `is_correct`.
        """
        if is_correct(self.subject, sample):
            return {"clip": {"right": 1.0}}
        return {"clip": {"right": 0.0}, "error": asdict(explain_misclassification(self.subject, sample))}


def errors_of(records: Sequence[Mapping[str, Any]]) -> list[Misclassification]:
    """Return the misclassifications in the records of clips."""
    found = []
    for record in records:
        if facts := record.get("figures", {}).get("error"):
            sides = {"true": Side(**facts["true"]), "predicted": Side(**facts["predicted"])}
            found.append(Misclassification(**{**facts, **sides}))
    return found


def is_correct(subject: Subject, sample: Sample) -> bool:
    """Return True if the network predicts the clip's label.

    Raises:
        ClipError: the label of the clip is not known, or the network has no such class.
    """
    return subject.labels[predict(subject.fast, sample).predicted] == _label(subject.fast.model, sample)


def explain_misclassification(subject: Subject, sample: Sample) -> Misclassification:
    """Explain both classes of a misclassified clip, by the method of the recipe, and return the figures.

    Args:
        subject: the network.
        sample: the clip.

    Raises:
        ClipError: as by `is_correct`.
    """
    model, (method,) = subject.fast.model, subject.fast.methods
    true = model.labels.index(_label(model, sample))
    clip = predict(subject.fast, sample)
    frames = pixels(clip.window)
    blurred = filling(frames, "blur")
    orders: dict[int, Tensor] = {}
    for target in (true, clip.predicted):
        heat = subject.window_maps(clip.window, target, subject.fast)[method]
        orders[target] = ranks(upsampled(heat, frames.shape[2], frames.shape[3], frames.shape[1]))
    shares = [i / KEPT_STEPS for i in range(1, KEPT_STEPS)]
    kept = strongest(frames, orders[true], shares, blurred)
    removed = strongest(blurred, orders[clip.predicted], shares, frames)
    return Misclassification(
        clip=sample.name,
        start=clip.start,
        true=_side(model, frames, blurred, orders[true], true),
        predicted=_side(model, frames, blurred, orders[clip.predicted], clip.predicted),
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
        label = f"{sample.label}, which is no class of {model.spec.name}" if sample.label else "not known"
        raise ClipError(
            f"the label of {sample.name} is {label}; list the clips of the folder in labels.csv, rows of clip,label"
        )
    return sample.label
