"""Sanity checks of the explanations of one clip: they must depend on the network, the class and the order of frames."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.metrics.sanity import cascading_randomisation, flicker, rank_correlation
from vidcam.models.registry import Model
from vidcam.results.explanation import Explanation
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter

NOISE = 5.0  # standard deviation of what is added to pixels in 0..255
CRF = 35  # of H.264: visibly coarse


@dataclass(frozen=True)
class Sanity:
    """The sanity checks of a clip's explanations.

    Attributes:
        subject: the network; its fast copy explains whole clips.
    """

    subject: Subject

    def __call__(self, sample: Sample) -> dict[str, dict[str, float]]:
        """Check the explanations of a clip's predicted class.

        Randomised weights and the other class are compared on the window with the highest confidence, by rank
        correlation of maps; the rest on the whole clip.

        Returns:
            Method → figure → its value.
        """
        subject, model = self.subject, self.subject.exact.model
        clip = predict(subject.fast, sample)
        target = clip.predicted
        original = subject.window_maps(clip.window, target)
        figures: dict[str, dict[str, float]] = {method: {} for method in original}
        for depth, (_, network) in enumerate(cascading_randomisation(model.network, seed=clip.start), 1):
            randomised = subject.exact.on(replace(model, network=network))
            for name, heat in subject.window_maps(clip.window, target, randomised).items():
                figures[name][f"randomised_{depth}"] = rank_correlation(original[name], heat)
                figures[name]["randomised_all"] = figures[name][f"randomised_{depth}"]
        other = _runner_up(model, clip.window, target)
        for name, heat in subject.window_maps(clip.window, other).items():
            figures[name]["other_class"] = rank_correlation(original[name], heat)

        def explained(frames: np.ndarray) -> dict[str, Explanation]:
            return subject.clip_explanations(sample, target, frames)

        rng = np.random.default_rng(clip.start)
        frozen = np.broadcast_to(clip.window[len(clip.window) // 2], sample.frames.shape)
        noisy = np.clip(sample.frames + rng.normal(0, NOISE, sample.frames.shape), 0, 255).astype(np.uint8)
        plain, backward = explained(sample.frames), explained(sample.frames[::-1])
        shuffled, still = explained(sample.frames[rng.permutation(len(sample.frames))]), explained(frozen)
        noised, again = explained(noisy), explained(_recoded(sample.frames))
        for name, explanation in plain.items():
            maps = explanation.maps
            evidence = float(maps.sum()) or 1.0
            height, width = sample.frames.shape[1:3]
            figures[name] |= {
                "reversed": rank_correlation(maps, backward[name].maps[::-1]),
                "shuffled_evidence": float(shuffled[name].maps.sum()) / evidence,
                "shuffled_score": _ratio(shuffled[name], explanation),
                "frozen_evidence": float(still[name].maps.sum()) / evidence,
                "frozen_score": _ratio(still[name], explanation),
                "noise": rank_correlation(maps, noised[name].maps),
                "recoded": rank_correlation(maps, again[name].maps),
                "flicker_frozen": flicker(upsampled(still[name].maps, height, width).numpy()),
                "flicker": flicker(upsampled(maps, height, width).numpy()),
            }
        return figures


def _runner_up(model: Model, frames: np.ndarray, target: int) -> int:
    """Return the index of a window's most probable other class; the background only if there is no other."""
    order = np.argsort(-confidences(model, pixels(frames)[None])[0], kind="stable")
    others = [int(k) for k in order if k != target]
    return next((k for k in others if k != model.background), others[0] if others else target)


def _ratio(changed: Explanation, plain: Explanation) -> float:
    return float(changed.scores.max() / plain.scores.max())


def _recoded(frames: np.ndarray) -> np.ndarray:
    """Return frames (F, H, W, 3) after a strong H.264 compression."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recoded.mp4"
        size = (frames.shape[1], frames.shape[2])
        with FilmWriter(path, size, time_base=Fraction(1, 25), frame_rate=Fraction(25), crf=CRF) as film:
            for index, frame in enumerate(frames):
                film.write(frame, index)
        return np.stack([frame.pixels for frame in Clip(path)])
