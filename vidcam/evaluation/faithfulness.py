"""Faithfulness of the explanations of one clip: the network's confidence when it sees only, or all but, the evidence.

Measured on one window, the one with the highest confidence in the clip's class, as the paper measures windows of 16
frames. Baselines are brought to the grid of the target layer, so that all have the same resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcam.evaluation.inference import Prediction, Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.faithfulness import (
    Fill,
    average_drop,
    explanation_clip,
    filling,
    increase_in_confidence,
    rearranged,
)
from vidcam.metrics.perturbation import (
    area_under,
    deletion_frames,
    highest_confidence,
    insertion_frames,
    kept_frames,
    ranks,
)

SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Faithfulness:
    """The measure of faithfulness of a clip's explanations.

    Attributes:
        subject: the network; its fast copy classifies perturbed clips.
        fill: replaces the pixels that a map hides.
        steps: number of steps of deletion and of insertion.
    """

    subject: Subject
    fill: Fill = "black"
    steps: int = 10

    def __call__(self, sample: Sample) -> dict[str, dict[str, Any]]:
        """Measure the methods and the baselines on a clip; if it is misclassified, also the recovery of its true class.

        Returns:
            Method or baseline → figure → its value, or a curve as a list.
        """
        clip = predict(self.subject.fast, sample)
        labels, predicted = self.subject.labels, clip.predicted
        frames = pixels(clip.window)
        whole = float(self._confidence(frames[None], predicted)[0])
        found = self._explanations(clip, predicted)
        figures = {name: self._figures(frames, heat, whole, predicted) for name, heat in found.items()}
        if sample.label in labels and (true := labels.index(sample.label)) != predicted:
            of_true = predict(self.subject.fast, sample, of=true)
            for name, heat in self._explanations(of_true, true).items():
                figures[name] |= self._recovery(pixels(of_true.window), heat, true)
        return figures

    def _explanations(self, clip: Prediction, target: int) -> dict[str, np.ndarray]:
        """Return the map (t, h, w), 0 or more, of each method and baseline."""
        found = self.subject.window_maps(clip.window, target)
        grid = next(iter(found.values())).shape
        for name, baseline in BASELINES.items():
            full = torch.from_numpy(np.array(baseline(clip.window, clip.start), np.float32))
            found[name] = torch.nn.functional.adaptive_avg_pool3d(full[None], grid)[0].numpy()
        return found

    def _figures(self, frames: Tensor, heat: np.ndarray, whole: float, target: int) -> dict[str, Any]:
        size = frames.shape[1:]
        hidden, blurred = filling(frames, self.fill), filling(frames, "blur")
        masks = [_mask(values, size) for values in (heat, rearranged(heat, seed=0))]
        rank = ranks(upsampled(heat, size[1], size[2], size[0]))
        clips = [torch.stack([explanation_clip(frames, mask, hidden) for mask in masks])]
        clips += [deletion_frames(frames, rank, self.steps), insertion_frames(frames, rank, self.steps, blurred)]
        scores = self._confidence(torch.cat(clips), target)
        seen, matched = scores[:1], scores[1:2]
        deletion, insertion = scores[2 : 3 + self.steps], scores[3 + self.steps :]
        before = np.array([whole])
        return {
            "average_drop": float(average_drop(before, seen)[0]),
            "average_drop_rearranged": float(average_drop(before, matched)[0]),
            "increase_in_confidence": float(increase_in_confidence(before, seen)[0]),
            "confidence_seen": float(seen[0]),
            "mask_mean": float(masks[0].mean()),
            "deletion_auc": area_under(deletion),
            "insertion_auc": area_under(insertion),
            "empty_map": float(heat.max() <= 0),
            "deletion_curve": [round(float(v), 5) for v in deletion],
            "insertion_curve": [round(float(v), 5) for v in insertion],
        }

    def _recovery(self, frames: Tensor, heat: np.ndarray, true: int) -> dict[str, float]:
        size = frames.shape[1:]
        kept = self._confidence(kept_frames(frames, ranks(upsampled(heat, size[1], size[2], size[0]))), true)
        ends = self._confidence(torch.stack([torch.zeros_like(frames), frames]), true)
        highest = {f"highest_confidence_{share:g}": highest_confidence(kept, share) for share in SHARES}
        return {**highest, "misunderstood_insertion_auc": area_under(np.array([ends[0], *kept, ends[1]]))}

    def _confidence(self, clips: Tensor, target: int) -> np.ndarray:
        return confidences(self.subject.fast.model, clips)[:, target]


def _mask(heat: np.ndarray, size: torch.Size) -> Tensor:
    """Return a map on the grid of pixels, (T, H, W), divided by its largest value to [0, 1]."""
    mask = upsampled(heat, size[1], size[2], size[0])
    return mask / (mask.max() or 1.0)
