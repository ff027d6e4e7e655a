from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from vidcam.evaluation.flaws import flaw_figures, heat_on
from vidcam.metrics.baselines import BASELINES
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.playground.canvas import FRAMES, SIDE


def test_the_share_of_heat_by_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    heat, mask = rng.random((4, 12, 12)).astype(np.float32), rng.random((4, 12, 12)) < 0.02
    inside = 0.0
    for t, y, x in np.ndindex(mask.shape):
        near = mask[max(0, t - 1) : t + 2, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        inside += float(heat[t, y, x]) * near.any()
    assert heat_on(heat, mask, 2) == pytest.approx(inside / float(heat.sum()), rel=1e-5)
    assert heat_on(np.zeros((4, 3, 3)), mask, 2) == 0
    assert heat_on(np.ones((2, 3, 3)), np.ones((4, 12, 12), bool), 1) == pytest.approx(1)


class Hues(nn.Module):
    """A network without training: a channel for each hue, which is 0 on what is grey; it looks at the first cell."""

    def __init__(self, grid: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4))
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool3d(grid)
        opponents = torch.tensor([[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1], [0.5, 0.5, -1]])
        with torch.no_grad():
            self.conv.weight.copy_(opponents[:, :, None, None, None].expand_as(self.conv.weight) / 16)
            self.conv.bias.fill_(-100)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.relu(self.conv(x)))[:, :, 0, 0, 0]


def _hues(grid: tuple[int, int, int]) -> Model:
    preprocess = Preprocess((SIDE, SIDE), (SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, scale=1.0)
    labels = [f"class {k}" for k in range(4)]
    return own_model(Hues(grid), preprocess=preprocess, frames=FRAMES, layer="relu", labels=labels, name="made")


@pytest.mark.slow
def test_a_network_of_known_weights_has_its_heat_on_the_square() -> None:
    found = flaw_figures("colour", _hues((1, 1, 1)), 7, 6, ["gradcam", "hirescam"])
    assert found.accuracy.mean == 1
    for method in ("gradcam", "hirescam"):
        value = found.on_cause[method]
        assert value is not None and value.mean > 0.99 and value.count == 6
    assert found.motion_share is not None and found.motion_share.mean < 0.02
    assert set(found.on_cause) == {"gradcam", "hirescam", *BASELINES} and not found.on_element
    plain = json.loads(json.dumps(found.json()))
    assert plain["on_cause"]["ones"]["mean"] < 0.3 and plain["true_motion_share"] == 0


@pytest.mark.slow
def test_a_head_that_keeps_places_tells_methods_apart() -> None:
    found = flaw_figures("one-corner", _hues((1, 2, 2)), 7, 6, ["hirescam", "gradcam", "saliency-tubes"])
    assert found.accuracy.mean == 1
    hires, pooled = found.on_cause["hirescam"], found.on_cause["gradcam"]
    assert hires is not None and pooled is not None and hires.mean > 0.99 > 0.9 > pooled.mean
    assert found.on_cause["saliency-tubes"] is None  # it explains pooled heads alone


@pytest.mark.slow
def test_clips_with_two_causes_have_their_kinds_of_evidence() -> None:
    network = nn.Sequential(_hues((1, 1, 1)).network, nn.Linear(4, 8))
    preprocess = Preprocess((SIDE, SIDE), (SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, scale=1.0)
    model = own_model(network, preprocess=preprocess, frames=FRAMES, layer="0.relu")
    found = flaw_figures("hue-direction", model, 7, 3, ["gradcam"])
    assert set(found.on_element) == {"whole on disc", "motion on disc", "appearance on square"}
    appearance = found.on_element["appearance on square"]["gradcam"]
    assert appearance is not None and appearance.count == 3
