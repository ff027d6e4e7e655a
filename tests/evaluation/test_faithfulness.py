from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.evaluation.faithfulness import Faithfulness, _mask
from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer
from vidcam.export.measures import faithfulness_figure
from vidcam.metrics.baselines import BASELINES
from vidcam.metrics.faithfulness import FILLS, Fill, filling, rearranged
from vidcam.metrics.perturbation import ranks
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.recipe import Recipe


class Coarse(nn.Module):
    """Each colour speaks for its class and against the others, by its mean in blocks of two frames and four by four pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv3d(3, 3, (2, 4, 4), (2, 4, 4), bias=False), nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(3).view(3, 3, 1, 1, 1).expand(3, 3, 2, 4, 4) / 32)
            self.fc.weight.copy_(6 * torch.eye(3) - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


# Red, most of it at the end of the clip and on the left; a bright green corner that speaks against it.
FRAMES = np.random.default_rng(0).integers(0, 60, (24, 16, 20, 3), np.uint8) + np.array([60, 60, 0], np.uint8)
FRAMES[12:, :, :12, 0] += np.arange(12, dtype=np.uint8)[:, None, None] * 10
FRAMES[:, :4, 16:, 1] += 130
SAMPLE = Sample("clip", FRAMES, 10, "red")


def _subject(method: str = "gradcam++,gradcam") -> Subject:
    preprocess = Preprocess((16, 20), (16, 20), (0.0,) * 3, (1.0,) * 3)
    model = own_model(
        Coarse(), preprocess=preprocess, frames=8, frame_rate=10, layer="body", labels=["red", "green", "blue"]
    )
    return Subject.of(Explainer(model, Recipe(method=method, stride=4, dtype="float32")))


def _in_blocks(heat: np.ndarray) -> np.ndarray:
    """The means of a map in the blocks of the layer: (4, 4, 5)."""
    volume = torch.from_numpy(heat.astype(np.float32))
    return torch.nn.functional.avg_pool3d(volume[None], (2, 4, 4))[0].numpy()


@pytest.mark.slow
def test_faithfulness_of_one_clip(sample: Sample, subject: Subject) -> None:
    figures = Faithfulness(subject, steps=1)(sample)
    assert figures["ones"]["average_drop"] == pytest.approx(0, abs=1e-3)
    method = figures["gradcam++"]
    assert method["average_drop"] < method["average_drop_rearranged"]
    assert "highest_confidence_1" not in method
    faithfulness_figure([{"clip": "a", "figures": figures}]).canvas.draw()


@pytest.mark.parametrize("fill", FILLS)
def test_figures_are_those_of_the_clips_most_confident_window_by_their_definitions(fill: Fill) -> None:
    subject, steps = _subject(), 3
    figures = Faithfulness(subject, fill, steps)(SAMPLE)
    clip = predict(subject.fast, SAMPLE)
    assert (clip.predicted, clip.start) == (0, 16)
    frames = pixels(clip.window)
    hidden, blurred, black = filling(frames, fill), filling(frames, "blur"), torch.zeros_like(frames)
    heats = subject.window_maps(clip.window, 0)
    for name, baseline in BASELINES.items():
        heats[name] = _in_blocks(baseline(clip.window, clip.start))
    assert list(figures) == ["gradcam++", "gradcam", *BASELINES]

    def confidence(*clips: Tensor) -> np.ndarray:
        return confidences(subject.exact.model, torch.stack(clips))[:, 0]

    (whole,) = confidence(frames)
    for name, heat in heats.items():
        mask, rearranged_mask = (
            upsampled(h, 16, 20, 8) / upsampled(h, 16, 20, 8).max() for h in (heat, rearranged(heat, 0))
        )
        seen, matched = confidence(*(m * frames + (1 - m) * hidden for m in (mask, rearranged_mask)))
        rank = ranks(upsampled(heat, 16, 20, 8))
        deletion = confidence(*(torch.where(rank < n / steps, black, frames) for n in range(steps + 1)))
        insertion = confidence(*(torch.where(rank < n / steps, frames, blurred) for n in range(steps + 1)))
        expected = {
            "confidence_seen": seen,
            "average_drop": 100 * max(0, whole - seen) / whole,
            "average_drop_rearranged": 100 * max(0, whole - matched) / whole,
            "increase_in_confidence": 100 * (seen > whole),
            "mask_mean": mask.mean().item(),
            "deletion_auc": (deletion[0] / 2 + deletion[1] + deletion[2] + deletion[3] / 2) / 3,
            "insertion_auc": (insertion[0] / 2 + insertion[1] + insertion[2] + insertion[3] / 2) / 3,
            "empty_map": 0,
        }
        found = dict(figures[name])
        assert found.pop("deletion_curve") == pytest.approx(deletion.tolist(), abs=1e-5)
        assert found.pop("insertion_curve") == pytest.approx(insertion.tolist(), abs=1e-5)
        assert found == {key: pytest.approx(float(value), rel=1e-4, abs=1e-4) for key, value in expected.items()}, name
    assert figures["centre"]["increase_in_confidence"] == (100 if fill in ("mean", "blur") else 0)
    assert figures["gradcam++"]["confidence_seen"] != figures["gradcam"]["confidence_seen"]
    assert figures["ones"]["mask_mean"] == 1


def test_a_map_of_zeros_shows_nothing() -> None:
    subject = _subject("gradcam")
    still = replace(SAMPLE, frames=np.repeat(FRAMES[-1:], 24, axis=0))
    figures = Faithfulness(subject, steps=1)(still)
    assert {name: values["empty_map"] for name, values in figures.items()} == {
        "gradcam": 0, "centre": 0, "ones": 0, "motion": 1, "random": 0,
    }  # fmt: skip
    black = confidences(subject.exact.model, torch.zeros(1, 3, 8, 16, 20))[0, 0]
    assert figures["motion"]["mask_mean"] == 0 and figures["motion"]["confidence_seen"] == pytest.approx(black)


def test_a_misunderstood_clip_is_explained_for_its_true_class() -> None:
    subject = _subject("hirescam")
    understood = Faithfulness(subject, steps=1)(SAMPLE)
    figures = Faithfulness(subject, steps=1)(replace(SAMPLE, label="green"))
    clip = predict(subject.fast, SAMPLE, of=1)
    assert (clip.predicted, clip.start) == (0, 4), "the window of the true class is another one"
    frames = pixels(clip.window)
    heats = subject.window_maps(clip.window, 1)
    for name, baseline in BASELINES.items():
        heats[name] = _in_blocks(baseline(clip.window, clip.start))
    for name, heat in heats.items():
        rank = ranks(upsampled(heat, 16, 20, 8))
        shown = [torch.where(rank < n / 25, frames, 0 * frames) for n in range(26)]
        curve = confidences(subject.exact.model, torch.stack(shown))[:, 1]
        expected = {f"highest_confidence_{n / 4:g}": curve[1 : 1 + int(25 * n / 4)].max() for n in (1, 2, 3)}
        expected["highest_confidence_1"] = curve[1:25].max()
        expected["misunderstood_insertion_auc"] = (curve[1:25].sum() + (curve[0] + curve[25]) / 2) / 25
        more = {key: value for key, value in figures[name].items() if key not in understood[name]}
        assert more == {key: pytest.approx(value, abs=1e-5) for key, value in expected.items()}, name
        assert {key: figures[name][key] for key in understood[name]} == understood[name]
    for label in (None, "no class"):
        assert Faithfulness(subject, steps=1)(replace(SAMPLE, label=label)) == understood


def test_an_empty_map_hides_everything() -> None:
    assert not _mask(np.zeros((2, 3, 3)), torch.Size((4, 6, 6))).any()
    assert _mask(np.ones((2, 3, 3)) * 7, torch.Size((4, 6, 6))).eq(1).all()
