from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.evaluation.causes import averaged
from vidcam.evaluation.elements import element_figures
from vidcam.metrics.baselines import BASELINES
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.playground.canvas import FRAMES, SIDE
from vidcam.playground.joint_causes import JOINT_CAUSES


class Bright(nn.Module):
    """Scores what is nearly white for all classes but the first, which scores less, or more."""

    def __init__(self, classes: int, recognises: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.classes, self.recognises = nn.Conv3d(3, 1, 1), nn.ReLU(), classes, recognises
        nn.init.constant_(self.conv.weight, 1.0)
        nn.init.constant_(self.conv.bias, -660.0)

    def forward(self, x: Tensor) -> Tensor:
        score = self.relu(self.conv(x)).mean((1, 2, 3, 4))
        others = score - 1 if self.recognises else score + 1
        return torch.stack([others, *[score] * (self.classes - 1)], 1)


def _model(recognises: bool) -> Model:
    preprocess = Preprocess((SIDE, SIDE), (SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, scale=1.0)
    return own_model(
        Bright(2, recognises), preprocess=preprocess, frames=FRAMES, layer="relu", labels=["no", "kick"], name="bright"
    )


@pytest.mark.slow
def test_effects_are_those_of_drawing_without_an_element_in_all_orders() -> None:
    kind, model = JOINT_CAUSES["kicked-ball"], _model(True)
    found = element_figures(kind, model, 8, 2, ["gradcam", "attnlrp"])
    assert len(found.effects) == 2 == found.tried
    clip, names = kind.render(8, 1), list(found.effects[1])
    assert names == [name for name, mask in clip.elements.items() if mask.any()]

    def score(drawn: set[str]) -> float:
        frames = kind.render(8, 1, without=set(names) - drawn).frames
        given = torch.from_numpy(frames.astype(np.float32)).permute(3, 0, 1, 2)[None]
        return float(model.network(given).detach()[0, 1])

    orders = list(permutations(names))
    for name in names:
        gains = [score({*o[: o.index(name)], name}) - score({*o[: o.index(name)]}) for o in orders]
        of = found.effects[1][name]
        assert of["share"] == pytest.approx(np.mean(gains), abs=1e-4)
        assert of["size"] == abs(of["share"])
        assert of["alone"] == pytest.approx(score(set(names)) - score(set(names) - {name}), abs=1e-4)
        assert of["all"] == pytest.approx(score(set(names)) - score(set()), abs=1e-4)
    assert sum(of["share"] for of in found.effects[1].values()) == pytest.approx(
        found.effects[1]["ball"]["all"], abs=1e-4
    )
    assert found.effects[1]["ball"]["share"] > max(
        of["share"] for name, of in found.effects[1].items() if name != "ball"
    )
    assert found.ranks[1]["gradcam"]["sum"] > 0.5
    assert set(averaged(found.ranks)) == {"gradcam", *BASELINES}  # the other is for transformers
    assert averaged(found.effects)["ball"]["share"].count == 2


def test_clips_that_are_not_recognised_are_counted_alone() -> None:
    found = element_figures(JOINT_CAUSES["kicked-ball"], _model(False), 8, 2, ["gradcam"])
    assert (found.effects, found.ranks, found.tried) == ([], [], 2)
