"""The three families on one rendered clip each, by a bundled network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidcam.errors import ClipError
from vidcam.evaluation.faithfulness import Faithfulness
from vidcam.evaluation.pointing import Place
from vidcam.evaluation.samples import Sample, read_sample
from vidcam.evaluation.sanity import Sanity
from vidcam.evaluation.inference import clip_maps, upsampled, watch
from vidcam.metrics.baselines import BASELINES
from vidcam.models.registry import Model, load_model
from vidcam.pipeline import explain
from vidcam.playground.clips import write_clip
from vidcam.playground.scene import untrimmed_scene
from vidcam.export.measures import faithfulness_figure, place_figure, sanity_figure

METHODS = ["gradcam++", "gradcam"]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-r2plus1d")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(untrimmed_scene(3, 0, 64), path)
    return path


@pytest.fixture(scope="module")
def sample(path: Path, model: Model) -> Sample:
    return read_sample(path, model)


def test_maps_in_memory_are_those_of_explain(sample: Sample, path: Path, model: Model) -> None:
    explanation = explain(path, model, sample.label or "", dtype="float32")
    found = clip_maps(model, sample.frames, sample.windowing, ["layer3"], ["gradcam++"], explanation.target.index or 0)
    np.testing.assert_allclose(found.maps["gradcam++"], explanation.maps, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scores, explanation.scores, rtol=1e-4, atol=1e-5)


def test_the_surest_window_is_amid_the_action(sample: Sample, model: Model) -> None:
    assert sample.mask is not None
    found = watch(model, sample.frames, sample.windowing)
    assert model.labels[found.predicted] == sample.label
    acting = sample.mask.any(axis=(1, 2))
    assert acting[found.start : found.start + 16].mean() > 0.7


def test_upsampling_is_that_of_torch_and_keeps_the_mean_of_a_constant() -> None:
    assert torch.equal(upsampled(np.ones((4, 7, 7)), 28, 28, 16), torch.ones(16, 28, 28))


def test_a_method_beats_the_trivial_explanations_on_a_clip_it_understands(sample: Sample, model: Model) -> None:
    figures = Place(["layer3"], METHODS, model)(model, sample)
    assert list(figures) == [*METHODS, *BASELINES]
    best = max(figures[name]["pointing_game"] for name in BASELINES)
    assert figures["gradcam++"]["pointing_game"] > best
    assert all(0 <= value <= 1 for values in figures.values() for value in values.values())
    place_figure([{"clip": "a", "figures": figures}]).canvas.draw()


def test_places_need_a_truth(sample: Sample, model: Model) -> None:
    with pytest.raises(ClipError, match="has no sidecar"):
        Place(["layer3"], METHODS, model)(model, Sample("x", sample.frames, sample.windowing))


@pytest.mark.slow
def test_faithfulness_of_one_clip(sample: Sample, model: Model) -> None:
    figures = Faithfulness(["layer3"], METHODS, model, steps=4)(model, sample)
    assert figures["ones"]["average_drop"] == pytest.approx(0, abs=1e-3)
    assert figures["ones"]["mask_mean"] == 1
    method = figures["gradcam++"]
    assert method["average_drop"] < method["average_drop_rearranged"]
    for values in figures.values():
        assert values["deletion_curve"][0] == pytest.approx(values["insertion_curve"][-1], abs=1e-4)
        assert len(values["deletion_curve"]) == 5
    assert "highest_confidence_1" not in method
    faithfulness_figure([{"clip": "a", "figures": figures}]).canvas.draw()


@pytest.mark.slow
def test_a_misunderstood_clip_is_explained_for_its_true_class(sample: Sample, model: Model) -> None:
    other = next(label for label in model.labels if label not in (sample.label, "nothing"))
    mistaken = Sample("mistaken", sample.frames, sample.windowing, other, sample.mask)
    figures = Faithfulness(["layer3"], ["gradcam++"], model, steps=2)(model, mistaken)["gradcam++"]
    rising = [figures[f"highest_confidence_{share}"] for share in ("0.25", "0.5", "0.75", "1")]
    assert rising == sorted(rising)
    assert 0 <= figures["misunderstood_insertion_auc"] <= 1


@pytest.mark.slow
def test_sanity_of_one_clip(sample: Sample, model: Model) -> None:
    figures = Sanity(["layer3"], METHODS, model)(model, sample)
    for values in figures.values():
        assert values["randomised_all"] == values["randomised_5"] < 0.5
        assert values["noise"] > 0.7
        assert values["frozen_score"] < 0.5
    stages = ["fc", "layer3", "layer2", "layer1", "stem"]
    sanity_figure([{"clip": "a", "figures": figures}], stages).canvas.draw()


def test_several_layers_are_fused(sample: Sample, model: Model) -> None:
    figures = Place(["layer2", "layer3"], ["gradcam++"], model)(model, sample)
    assert figures["gradcam++"]["pointing_game"] > 0.3
