from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject, confidences, pixels, predict, upsampled
from vidcam.evaluation.misclassifications import Misclassifications, errors_of, explain_misclassification, is_correct
from vidcam.evaluation.samples import Sample
from vidcam.explainer import Explainer
from vidcam.metrics.faithfulness import filling
from vidcam.metrics.perturbation import ranks
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.playground.scene import hard_scene
from vidcam.recipe import Recipe


class RedOrGreen(nn.Module):
    """Two classes: how finely chequered the red is, and three times that of the green. Blurred, nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv3d(3, 2, (1, 2, 2), (1, 2, 2), bias=False)
        with torch.no_grad():
            self.colours.weight.zero_()
            self.colours.weight[0, 0] = self.colours.weight[1, 1] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 2

    def forward(self, x: Tensor) -> Tensor:
        return 10 * self.colours(x).relu().mean((2, 3, 4)) * torch.tensor([1.0, 3.0])


@pytest.fixture
def model() -> Model:
    preprocess = Preprocess((16, 20), (16, 20), (0.0,) * 3, (1.0,) * 3)
    return own_model(RedOrGreen(), frames=4, preprocess=preprocess, layer="colours", labels=["red", "green"])


def _subject(model: Model, method: str = "gradcam++") -> Subject:
    return Subject.of(Explainer(model, Recipe(method=method, stride=4, dtype="float32")))


def _sample(label: str | None) -> Sample:
    """A chequered red half, and a green quarter."""
    frames = np.zeros((4, 16, 20, 3), np.uint8)
    chequered = 200 * (np.indices((16, 20)).sum(0) % 2 == 0)
    frames[:, :, :8, 0] = chequered[:, :8]
    frames[:, 4:12, 8:, 1] = chequered[4:12, 8:]
    return Sample("clip", frames, 25, label)


def test_a_small_region_that_was_hidden_restores_the_answer(model: Model) -> None:
    assert is_correct(_subject(model), _sample("green")) and not is_correct(_subject(model), _sample("red"))
    found = explain_misclassification(_subject(model), _sample("red"))
    assert (found.true.label, found.predicted.label) == ("red", "green")
    assert found.true.probability + found.predicted.probability == pytest.approx(1)
    assert found.true.probability < 0.5 < found.predicted.probability
    # Red is half of the picture; what speaks for green is a quarter of it.
    assert found.removed is not None and found.removed <= 0.25
    assert found.kept is not None and found.kept <= 0.5
    assert found.restored_by == min(found.kept, found.removed)
    assert found.true.highest_confidence > 0.5 and 0 < found.true.insertion_auc < 1


def test_figures_are_those_of_the_predicted_classes_window_by_their_definitions(model: Model) -> None:
    subject = _subject(model)
    frames = np.concatenate([np.zeros((4, 16, 20, 3), np.uint8), _sample("red").frames])
    found = explain_misclassification(subject, replace(_sample("red"), frames=frames))
    clip = predict(subject.fast, replace(_sample("red"), frames=frames))
    assert found.start == clip.start == 4 and found.clip == "clip"
    window = pixels(frames[4:])
    blurred = filling(window, "blur")
    order = [ranks(upsampled(subject.window_maps(frames[4:], k)["gradcam++"], 16, 20, 4)) for k in (0, 1)]
    shares = [n / 25 for n in range(26)]
    for k, side in enumerate((found.true, found.predicted)):
        inserted = [torch.where(order[k] < n / 10, window, blurred) for n in range(11)]
        kept = [torch.where(order[k] < share, window, 0 * window) for share in shares[1:25]]
        curve = confidences(model, torch.stack(inserted))[:, k]
        assert side.label == model.labels[k]
        assert side.probability == pytest.approx(confidences(model, window[None])[0, k], rel=1e-4)
        assert side.insertion_auc == pytest.approx((curve.sum() - (curve[0] + curve[10]) / 2) / 10, abs=1e-5)
        assert side.highest_confidence == pytest.approx(confidences(model, torch.stack(kept))[:, k].max(), rel=1e-4)
    kept = [confidences(model, torch.where(order[0] < s, window, blurred)[None])[0].argmax() == 0 for s in shares[1:25]]
    assert found.kept == (shares[1 + kept.index(True)] if any(kept) else None)
    gone = [confidences(model, torch.where(order[1] < s, blurred, window)[None])[0].argmax() == 0 for s in shares[1:25]]
    assert found.removed == shares[1 + gone.index(True)] and gone.index(True) > 0


def test_records_hold_errors(model: Model) -> None:
    subject = _subject(model, "gradcam")
    measure = Misclassifications(subject)
    records = [{"clip": label, "figures": measure(_sample(label))} for label in ("red", "green")]
    assert records[1]["figures"] == {"clip": {"right": 1.0}}
    assert errors_of(records) == [explain_misclassification(subject, _sample("red"))]


def test_a_label_must_be_known(model: Model) -> None:
    with pytest.raises(ClipError, match=r"the label of clip is not known.*labels\.csv"):
        is_correct(_subject(model), _sample(None))
    with pytest.raises(ClipError, match=r"is blue, which is no class of RedOrGreen"):
        is_correct(_subject(model), _sample("blue"))


def test_hard_scenes_are_hard() -> None:
    for index in range(8):
        scene = hard_scene(3, index)
        actor, distractor = scene.acts
        assert actor.label == scene.label != distractor.label
        assert distractor.strength < 0.7 and distractor.weight(10) == distractor.strength < actor.weight(10) == 1
        assert scene.figures[0].look.stature <= 0.40
