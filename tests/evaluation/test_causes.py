from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.errors import SettingsError
from vidcam.evaluation import causes
from vidcam.evaluation.inference import Subject
from vidcam.explainer import Explainer
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.playground.actions import LABELS
from vidcam.playground.interventions import twins
from vidcam.playground.scene import FPS, ranked_crowd_scene, trimmed_scene
from vidcam.recipe import Recipe


class Motion(nn.Module):
    """Scores movement for every class: the mean change from frame to frame, through a layer with time and space."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.Conv3d(3, 1, 1)
        nn.init.ones_(self.keep.weight)
        nn.init.zeros_(self.keep.bias)

    def forward(self, x: Tensor) -> Tensor:
        change = self.keep((x[:, :, 1:] - x[:, :, :-1]).abs())
        score = 8 * change.mean((1, 2, 3, 4))
        return torch.stack([score, *[torch.zeros_like(score)] * (len(LABELS) - 1)], 1)


@pytest.fixture(scope="module")
def subject() -> Subject:
    model = own_model(
        Motion(), labels=LABELS, frames=8, frame_rate=FPS, layer="keep",
        preprocess=Preprocess((56, 56), (56, 56), (0.0,) * 3, (1.0,) * 3),
    )  # fmt: skip
    return Subject.of(Explainer(model, Recipe(method="gradcam,hirescam", dtype="float32")))


def test_a_value_is_the_mean_over_windows(subject: Subject) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (16, 56, 56, 3), np.uint8)
    found = causes.value(subject, frames, 0)
    logits, probabilities = [], []
    for start in (0, 4, 8):  # half a window apart
        window = torch.from_numpy(frames[start : start + 8]).float().permute(3, 0, 1, 2)[None] / 255
        scores = subject.exact.model.network(window).detach()
        logits.append(float(scores[0, 0]))
        probabilities.append(float(scores.softmax(1)[0, 0]))
    assert found.logit == pytest.approx(np.mean(logits), rel=1e-4)
    assert found.probability == pytest.approx(np.mean(probabilities), rel=1e-4)
    odds = [np.log(p / (1 - p)) for p in probabilities]
    assert found.log_odds == pytest.approx(np.mean(odds), rel=1e-3)
    fall = found.less(causes.Value(1.0, 2.0, 0.25))
    expected = {"logit": found.logit - 1, "log odds": found.log_odds - 2, "probability": found.probability - 0.25}
    assert fall == {**expected, "probability, size": abs(found.probability - 0.25)}


def test_figures_lie_where_they_are_seen(subject: Subject) -> None:
    scene = ranked_crowd_scene(2, 0)
    frames, figures = causes.rendered(scene, subject)
    assert frames.shape == (48, 56, 56, 3) and figures.shape == (48, 56, 56) and set(np.unique(figures)) == {0, 1, 2, 3}
    ids = np.zeros((224, 224), np.uint8)
    scene.render(20, 224, ids)
    np.testing.assert_array_equal(figures[20], ids[::4, ::4])


def _first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every action is the class that the network scores."""
    monkeypatch.setattr(Subject, "labels", property(lambda self: _Any(LABELS)))


class _Any(tuple):  # type: ignore[type-arg]
    def index(self, *_: Any) -> int:
        return 0


@pytest.mark.slow
def test_a_network_that_sees_movement_is_ranked_by_it(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    _first(monkeypatch)
    found = causes.crowds(subject, 8, 2)
    for clip in found:
        effects = np.array(clip["shapley"])
        assert (effects > 0).all()
        assert clip["hirescam"]["sum"] == pytest.approx(1) == clip["gradcam"]["sum"]
        assert clip["size"]["mean"] == 0.0
    means = causes.averaged(found)
    of_sums = means["hirescam"]["sum"]
    assert of_sums.mean == pytest.approx(1) and of_sums.count == 2 and "shapley" not in means


@pytest.mark.slow
def test_effects_and_stretches_of_a_network_that_sees_movement(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    _first(monkeypatch)
    (clip,) = causes.effects(subject, 31, 1)
    assert clip["actor idle"]["logit"] > 0 and clip["actor removed"]["logit"] > clip["actor idle"]["logit"]
    assert clip["actor held"]["logit"] > clip["stretch held"]["logit"] > 0 < clip["stretch idle"]["logit"]
    scene = next(scene for scene in (trimmed_scene(31, index, 48) for index in range(99)) if scene.acts)
    balls = [name for name in twins(scene) if name.startswith("ball")]
    lost = [causes.value(subject, causes.rendered(twins(scene)[name], subject)[0], 0).logit for name in balls]
    whole = causes.value(subject, causes.rendered(scene, subject)[0], 0).logit
    assert balls and clip["ball removed"]["logit"] == pytest.approx(whole - np.mean(lost), rel=1e-3)
    assert abs(clip["actor recoloured"]["logit"]) < clip["actor removed"]["logit"]
    done: list[tuple[int, int]] = []
    found = causes.stretches(subject, 11, 2, lambda *of: done.append(of))
    assert done == [(1, 2), (2, 2)]
    assert all(set(clip) == {"gradcam", "hirescam", "score", "motion"} for clip in found)
    assert min(clip["hirescam"]["time"] for clip in found) > 0.5


def test_a_network_of_other_classes_is_refused() -> None:
    model = own_model(Motion(), labels=[f"class {i}" for i in range(len(LABELS))], frames=8, frame_rate=FPS, layer="keep",
                      preprocess=Preprocess((56, 56), (56, 56), (0.0,) * 3, (1.0,) * 3))  # fmt: skip
    with pytest.raises(SettingsError, match=r"Motion has no class '.*'; give a network of the playground's actions"):
        causes.crowds(Subject.of(Explainer(model, Recipe())), 1, 1)
