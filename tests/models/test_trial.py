from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam import Recipe, explain
from vidcam.errors import ModelError
from vidcam.explainer import Explainer
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.models.trial import check_layers

SMALL = Preprocess((24, 24), (24, 24), (0.5,) * 3, (0.5,) * 3)


class Forked(nn.Module):
    """Scores from a last convolution, to which one path is joined that passes by the layer "side"."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.stem = nn.Conv3d(3, 4, 3, 1, 1)
        self.side = nn.Conv3d(4, 4, 3, 1, 1)
        self.turned = nn.Sequential(nn.Conv3d(4, 4, 3, 1, 1), _Turned())
        self.last = nn.Conv3d(4, 4, 3, 1, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        x = self.stem(x)
        x = self.last(x + 0.5 * self.side(x) + self.turned(x).flip(2))
        return self.fc(x.amax((2, 3, 4)))


class _Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(2)


@pytest.fixture
def forked() -> Model:
    torch.manual_seed(0)
    return own_model(Forked(), preprocess=SMALL, frames=8, layer="last")


def _notes(model: Model, layers: str) -> Sequence[str]:
    frames = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), np.uint8)
    return explain(frames, model, 0, layer=layers, method="gradcam", dtype="float32").warnings


def test_a_layer_that_a_part_of_the_score_passes_by_is_noted(forked: Model) -> None:
    assert any("passes by the layer" in note for note in _notes(forked, "side"))
    assert not any("passes by" in note for layer in ("last", "stem") for note in _notes(forked, layer))


def test_a_layer_whose_time_runs_backwards_is_refused(forked: Model) -> None:
    with pytest.raises(ModelError, match=r"layer 'turned' runs against the window in time"):
        Explainer(forked, Recipe(layer="turned"))
    Explainer(forked, Recipe(layer="turned.0"))


def test_each_layer_is_tested_once(forked: Model) -> None:
    note, runs = check_layers(forked, ["side"]), forked.network.runs
    assert check_layers(replace(forked), ["side"]) == note != "" and forked.network.runs == runs
    other = Explainer(forked, Recipe(layer="side")).on(forked)
    assert other.layers == ("side",) and forked.network.runs == runs


def test_a_shortcut_of_a_named_network_is_noted() -> None:
    explainer = Explainer("playground-r2plus1d", Recipe(layer="layer3.conv2"))
    assert "passes by the layer" in explainer.model.note
    assert "passes by" not in Explainer("playground-r2plus1d", Recipe(layer="layer2")).model.note
