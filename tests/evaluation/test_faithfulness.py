from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidcam.evaluation.faithfulness import Faithfulness, _mask
from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer
from vidcam.export.measures import faithfulness_figure
from vidcam.metrics.faithfulness import Fill, filling
from vidcam.metrics.perturbation import area_under, kept_frames, ranks
from vidcam.models.registry import Model
from vidcam.recipe import Recipe


@pytest.fixture(scope="module")
def one_method(model: Model) -> Subject:
    return Subject.of(Explainer(model, Recipe(dtype="float32")))


@pytest.mark.slow
def test_faithfulness_of_one_clip(sample: Sample, subject: Subject) -> None:
    figures = Faithfulness(subject, steps=4)(sample)
    assert figures["ones"]["average_drop"] == pytest.approx(0, abs=1e-3)
    assert figures["ones"]["mask_mean"] == 1
    method = figures["gradcam++"]
    assert method["average_drop"] < method["average_drop_rearranged"]
    for values in figures.values():
        assert values["deletion_curve"][0] == pytest.approx(values["insertion_curve"][-1], abs=1e-4)
        assert len(values["deletion_curve"]) == 5
    assert "highest_confidence_1" not in method
    faithfulness_figure([{"clip": "a", "figures": figures}]).canvas.draw()


@pytest.mark.parametrize("fill", ["black", "blur", "mean"])
def test_what_a_map_hides_is_filled(sample: Sample, one_method: Subject, model: Model, fill: Fill) -> None:
    """By the formula: confidence in mask * clip + (1 - mask) * fill, of the clip's most confident window."""
    clip = predict(one_method.fast, sample)
    frames, heat = pixels(clip.window), one_method.window_maps(clip.window, clip.predicted)["gradcam++"]
    mask = _mask(heat, frames.shape[1:])
    seen = mask * frames + (1 - mask) * filling(frames, fill)
    whole, expected = confidences(one_method.fast.model, torch.stack([frames, seen]))[:, clip.predicted]
    figures = Faithfulness(one_method, fill, steps=1)(sample)["gradcam++"]
    assert figures["confidence_seen"] == pytest.approx(expected, abs=1e-5)
    assert figures["average_drop"] == pytest.approx(100 * max(0, whole - expected) / whole, abs=1e-3)
    assert figures["mask_mean"] == pytest.approx(mask.mean().item(), rel=1e-5)
    assert mask.max() == 1


def test_the_fill_makes_a_difference(sample: Sample, one_method: Subject) -> None:
    black, blurred = (Faithfulness(one_method, fill, steps=1)(sample)["gradcam++"] for fill in ("black", "blur"))  # type: ignore[arg-type]
    assert abs(black["confidence_seen"] - blurred["confidence_seen"]) > 1e-4
    assert black["deletion_curve"] == blurred["deletion_curve"]  # black in any case


@pytest.mark.slow
def test_a_misunderstood_clip_is_explained_for_its_true_class(
    sample: Sample, one_method: Subject, model: Model
) -> None:
    other = next(label for label in model.labels if label not in (sample.label, "nothing"))
    mistaken = replace(sample, name="mistaken", label=other)
    figures = Faithfulness(one_method, steps=2)(mistaken)["gradcam++"]
    rising = [figures[f"highest_confidence_{share}"] for share in ("0.25", "0.5", "0.75", "1")]
    assert rising == sorted(rising)
    true = model.labels.index(other)
    clip = predict(one_method.fast, sample, of=true)
    frames, heat = pixels(clip.window), one_method.window_maps(clip.window, true)["gradcam++"]
    kept = kept_frames(frames, ranks(upsampled(heat, 112, 112, 16)))
    curve = confidences(one_method.fast.model, torch.cat([torch.zeros_like(frames)[None], kept, frames[None]]))[:, true]
    assert figures["misunderstood_insertion_auc"] == pytest.approx(area_under(curve), abs=1e-5)
    assert rising[-1] == pytest.approx(curve[1:-1].max(), abs=1e-5)


def test_an_empty_map_hides_everything() -> None:
    assert not _mask(np.zeros((2, 3, 3)), torch.Size((4, 6, 6))).any()
    assert _mask(np.ones((2, 3, 3)) * 7, torch.Size((4, 6, 6))).eq(1).all()
