"""Spatial localization: metrics of the explanations of one clip against the mask of the person who acts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.localization import time_auc
from vidcam.metrics.overlap import energy_inside, saliency_iou, tube_localization, tube_of
from vidcam.metrics.pointing import clip_hit, frame_hits
from vidcam.temporal.curves import evidence_curve

TOLERANCE = 1 / 16
"""Tolerance of the pointing game as a share of the frame's shorter side: 7 pixels of 112."""

THRESHOLDS = (0.0, 0.25, 0.5)


@dataclass(frozen=True)
class Pointing:
    """Measurement of spatial localization.

    Attributes:
        subject: the network and its methods.
    """

    subject: Subject

    def __call__(self, sample: Sample) -> dict[str, dict[str, float | None]]:
        """Return the metrics of the explanations of a sample's true class, by methods and by baselines.

        Returns:
            Name of the method or baseline → name of the metric → value; None if the metric is not defined for the clip.

        Raises:
            ClipError: the clip has no mask or no label that the network knows, or the mask is empty.
        """
        labels = self.subject.labels
        if sample.mask is None or sample.label not in labels:
            raise ClipError(
                f"{sample.name} has no sidecar that tells where {self.subject.exact.model.spec.name} should look; "
                "give clips of `vidcam playground render`, or playground"
            )
        if not sample.mask.any():
            raise ClipError(f"{sample.name} shows nobody who acts; leave it out")
        height, width = sample.mask.shape[1:]
        target = labels.index(sample.label)
        found = self.subject.clip_explanations(sample, target)
        heats = {method: upsampled(e.maps, height, width).numpy() for method, e in found.items()}
        heats |= {name: baseline(sample.frames, 0) for name, baseline in BASELINES.items()}
        return {name: localization_measures(heat, sample.mask) for name, heat in heats.items()}


def localization_measures(heat: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """Return the metrics of a heatmap, given the mask of the person who acts, (F, H, W) bool; both on the grid of pixels."""
    tolerance = TOLERANCE * min(mask.shape[1:])
    tube = tube_of(mask)
    acting = np.any(mask, axis=(1, 2))
    return {
        "pointing_game": float(frame_hits(heat, mask, tolerance).mean()),
        "pointing_game_exact": float(frame_hits(heat, mask, 0).mean()),
        "pointing_game_clip": clip_hit(heat, mask, tolerance),
        "energy_inside": energy_inside(heat, mask),
        "time_auc": time_auc(evidence_curve(heat), acting),
        "energy_while_acting": energy_inside(heat, np.broadcast_to(acting[:, None, None], heat.shape)),
        "saliency_iou": saliency_iou(heat, mask),
        **{f"loc_{threshold:g}": tube_localization(heat, tube, threshold) for threshold in THRESHOLDS},
        "empty_frames": float((heat[acting].max(axis=(1, 2)) <= 0).mean()),
    }
