from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.conftest import METHODS
from vidcam.cam.fusion import fuse
from vidcam.errors import SettingsError
from vidcam.evaluation import inference
from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer, explain
from vidcam.models.registry import Model
from vidcam.recipe import Recipe
from vidcam.temporal.curves import clip_probabilities
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import Windowing, sliding_windows


@pytest.mark.slow
def test_explanations_in_memory_are_those_of_the_file(sample: Sample, path: Path, subject: Subject) -> None:
    target = subject.labels.index(sample.label or "")
    found = subject.clip_explanations(sample, target)
    assert set(found) == set(METHODS)
    for method, explanation in found.items():
        expected = explain(path, "playground-r2plus1d", target, method=method, dtype="float32")
        np.testing.assert_allclose(explanation.maps, expected.maps, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(explanation.scores, expected.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_other_frames_are_explained_in_place_of_the_clips(sample: Sample, subject: Subject) -> None:
    target, backward = subject.labels.index(sample.label or ""), sample.frames[::-1]
    found = subject.clip_explanations(sample, target, backward)["gradcam"]
    alone = subject.clip_explanations(Sample("other", backward, sample.frame_rate), target)["gradcam"]
    np.testing.assert_array_equal(found.maps, alone.maps)
    assert np.abs(found.maps - subject.clip_explanations(sample, target)["gradcam"].maps).max() > 0


def test_the_maps_of_a_window_are_those_of_a_clip_that_is_one(sample: Sample, model: Model) -> None:
    recipe = Recipe(method=",".join(METHODS), dtype="float32", factor="none", context=False)
    subject = Subject.of(Explainer(model, recipe))
    frames = sample.frames[20:36]
    found = subject.window_maps(frames, 3)
    assert list(found) == METHODS
    explained = subject.clip_explanations(Sample("window", frames, 16), 3)["gradcam"]  # of one window
    expected = stitch([found["gradcam"]], [0], 16, Windowing(16, 8))
    np.testing.assert_allclose(explained.maps, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_several_layers_are_fused_at_the_most_steps(sample: Sample, model: Model) -> None:
    recipe = Recipe(layer="layer2,layer3", method="gradcam", fusion="max", dtype="float32")
    both = Subject.of(Explainer(model, recipe))
    frames = sample.frames[20:36]
    fused = both.window_maps(frames, 3)["gradcam"]
    parts = []
    for layer in ("layer2", "layer3"):
        subject = Subject.of(Explainer(model, Recipe(layer=layer, method="gradcam", dtype="float32")))
        parts.append(subject.window_maps(frames, 3)["gradcam"])
    steps = max(len(part) for part in parts)
    expected = fuse([part[np.arange(steps) * len(part) // steps] for part in parts], "max")
    np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=1e-6)
    (explained,) = both.clip_explanations(Sample("window", frames, 16), 3).values()
    assert explained.layer == "layer2,layer3"


@pytest.mark.slow
def test_confidences_are_the_softmax_of_the_network(sample: Sample, model: Model) -> None:
    clips = torch.stack([pixels(sample.frames[s : s + 16]) for s in range(0, 40, 4)])  # more than one batch
    with torch.no_grad():
        expected = model.network(model.spec.preprocess.normalized(clips)).softmax(1)
    np.testing.assert_allclose(confidences(model, clips), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_prediction_is_that_of_the_pooled_windows_and_its_window_the_most_confident(
    sample: Sample, subject: Subject, model: Model
) -> None:
    assert sample.mask is not None
    windows = list(sliding_windows(sample.frames, subject.fast.windowing(16)))
    probabilities = confidences(model, torch.stack([pixels(np.stack(w.frames)) for w in windows]))
    explained = {of: predict(subject.fast, sample, of) for of in (None, 5)}
    for of, found in explained.items():
        assert found.predicted == clip_probabilities(probabilities, model.background).argmax()
        best = probabilities[:, found.predicted if of is None else of].argmax()
        assert found.start == windows[best].start
        np.testing.assert_array_equal(found.window, windows[best].frames)
    start = explained[None].start
    assert start != 0, "the first window must not be the answer"
    assert model.labels[found.predicted] == sample.label
    acting = sample.mask.any(axis=(1, 2))
    assert acting[start : start + 16].mean() > 0.7


def test_upsampling_is_trilinear_and_keeps_a_constant() -> None:
    assert torch.equal(upsampled(np.ones((4, 7, 7)), 28, 28, 16), torch.ones(16, 28, 28))
    maps = np.random.default_rng(0).random((2, 3, 4)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps)[None, None], (2, 12, 16), mode="trilinear")
    torch.testing.assert_close(upsampled(maps, 12, 16), expected[0, 0])


def test_the_fast_copy_of_auto_is_in_the_fastest_dtype(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "quickest_dtype", lambda device: torch.float16)
    subject = Subject.of(Explainer(model, Recipe()))
    assert subject.fast.model.dtype == "float16" and subject.exact.model.float_dtype == torch.float32
    assert subject.preprocess == model.spec.preprocess


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_subject_is_the_network_as_it_is_and_a_fast_copy(model: Model, dtype: str) -> None:
    subject = Subject.of(Explainer(model, Recipe(dtype=dtype)))  # type: ignore[arg-type]
    assert subject.exact.model.network is model.network and subject.labels == model.labels
    assert subject.fast.model.dtype == dtype
    assert next(subject.fast.model.network.parameters()).dtype == getattr(torch, dtype)
    size = model.spec.preprocess.crop
    frame = np.zeros((*size, 3), np.uint8)
    assert subject.exact.model.spec.preprocess.frame(frame).shape == frame.shape


def test_kinds_of_evidence_are_evaluated_one_by_one(sample: Sample, model: Model) -> None:
    with pytest.raises(SettingsError, match="several kinds of evidence; evaluate one of them"):
        Subject.of(Explainer(model, Recipe(evidence="motion,appearance")))
    subject = Subject.of(Explainer(model, Recipe(evidence="motion", method="gradcam", dtype="float32")))
    (found,) = subject.clip_explanations(sample, 0).values()
    assert found.kind == "motion"
