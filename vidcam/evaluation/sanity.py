"""Whether the explanations of one clip depend on the network, the class and the order of the frames, as they should."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidcam.evaluation.samples import Sample
from vidcam.evaluation.watching import ClipMaps, clip_maps, confidences, pixels, upsampled, watch, window_maps
from vidcam.metrics.sanity import cascading_randomisation, flicker, rank_correlation
from vidcam.models.registry import Model
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter

NOISE = 5.0  # standard deviation of what is added to pixels in 0..255
CRF = 35  # of H.264: visibly coarse


@dataclass(frozen=True)
class Sanity:
    """How sanity is measured.

    Attributes:
        layers: target layers; several are fused.
        methods: keys of `METHODS`.
        quick: the model that explains whole clips, see `vidcam.models.inference.prepared`.
    """

    layers: Sequence[str]
    methods: Sequence[str]
    quick: Model

    def __call__(self, model: Model, sample: Sample) -> dict[str, dict[str, float]]:
        """Method → its figures, all for the clip's predicted class.

        Randomised weights and the other class are compared on the window in which the network is surest, by rank
        correlation of maps; the rest on the whole clip.
        """
        watched = watch(self.quick, sample.frames, sample.windowing)
        target = watched.predicted
        figures: dict[str, dict[str, float]] = {name: {} for name in self.methods}

        def window(network_of: Model, of: int) -> dict[str, np.ndarray]:
            return window_maps(network_of, watched.surest, self.layers, self.methods, of)

        original = window(model, target)
        for depth, (_, network) in enumerate(cascading_randomisation(model.network, seed=watched.start), 1):
            for name, heat in window(replace(model, network=network), target).items():
                figures[name][f"randomised_{depth}"] = rank_correlation(original[name], heat)
                figures[name]["randomised_all"] = figures[name][f"randomised_{depth}"]
        other = _runner_up(model, watched.surest, target)
        for name, heat in window(model, other).items():
            figures[name]["other_class"] = rank_correlation(original[name], heat)

        def seen(frames: np.ndarray) -> ClipMaps:
            return clip_maps(self.quick, frames, sample.windowing, self.layers, self.methods, target)

        rng = np.random.default_rng(watched.start)
        frozen = np.broadcast_to(watched.surest[len(watched.surest) // 2], sample.frames.shape)
        noisy = np.clip(sample.frames + rng.normal(0, NOISE, sample.frames.shape), 0, 255).astype(np.uint8)
        plain, backward = seen(sample.frames), seen(sample.frames[::-1])
        shuffled, still = seen(sample.frames[rng.permutation(len(sample.frames))]), seen(frozen)
        noised, again = seen(noisy), seen(_recoded(sample.frames))
        for name, maps in plain.maps.items():
            evidence = float(maps.sum()) or 1.0
            height, width = sample.frames.shape[1:3]
            figures[name] |= {
                "reversed": rank_correlation(maps, backward.maps[name][::-1]),
                "shuffled_evidence": float(shuffled.maps[name].sum()) / evidence,
                "shuffled_score": _ratio(shuffled, plain),
                "frozen_evidence": float(still.maps[name].sum()) / evidence,
                "frozen_score": _ratio(still, plain),
                "noise": rank_correlation(maps, noised.maps[name]),
                "recoded": rank_correlation(maps, again.maps[name]),
                "flicker_frozen": flicker(upsampled(still.maps[name], height, width).numpy()),
                "flicker": flicker(upsampled(maps, height, width).numpy()),
            }
        return figures


def _runner_up(model: Model, frames: np.ndarray, target: int) -> int:
    """The most probable other class of a window; the background only where there is no other."""
    order = np.argsort(-confidences(model, pixels(frames)[None])[0], kind="stable")
    others = [int(k) for k in order if k != target]
    return next((k for k in others if k != model.background), others[0] if others else target)


def _ratio(changed: ClipMaps, plain: ClipMaps) -> float:
    return float(changed.scores.max() / plain.scores.max())


def _recoded(frames: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) after H.264 at few bits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recoded.mp4"
        size = (frames.shape[1], frames.shape[2])
        with FilmWriter(path, size, time_base=Fraction(1, 25), frame_rate=Fraction(25), crf=CRF) as film:
            for index, frame in enumerate(frames):
                film.write(frame, index)
        return np.stack([frame.pixels for frame in Clip(path)])
