from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.targets import Contrast
from vidcam.engine.attribution import Attributor
from vidcam.engine.freezing import attributed_twice, frozen, share_of_motion
from vidcam.engine.loader import Batch
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.video.windows import Windowing

WINDOWS = torch.randn(3, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv3d(3, 6, 3, (1, 2, 2), 1), nn.ReLU())
        self.fc = nn.Linear(6, 4)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return 8 * self.fc(self.body(x).mean((2, 3, 4)))


def _model(**settings: Any) -> Model:
    preprocess = Preprocess((16, 16), (16, 16), (0.0,) * 3, (1.0,) * 3)
    return own_model(Small(), preprocess=preprocess, frames=4, layer="body", **settings)


def _still(windows: Tensor) -> Tensor:
    still = windows.clone()
    for window in still:
        for step in range(4):
            window[:, step] = window[:, 2].clone()
    return still


def test_every_frame_is_the_middle_one() -> None:
    batch = Batch([0, 2, 4], WINDOWS, times=np.zeros((3, 4)), step=0.1)
    found = frozen(batch)
    torch.testing.assert_close(found.given, _still(WINDOWS))
    assert found.starts == batch.starts and found.times is batch.times and found.step == 0.1


@pytest.mark.parametrize("method", ["gradcam++", "hirescam"])
def test_each_map_has_that_of_the_frozen_window(method: str) -> None:
    model = _model()

    def difference(output: Tensor) -> Tensor:
        return output[:, 0] - output[:, 3]

    chosen: list[list[Any]] = [[0, difference], [2], [1, 3]]
    model.network.seen.clear()
    found = attributed_twice(Attributor(model, ["body"], [method]), Batch([0, 2, 4], WINDOWS), lambda p: chosen)
    assert model.network.seen == [3, 3]  # one frozen pass more
    with torch.no_grad():
        probabilities, still = (model.network(w).softmax(1).numpy() for w in (WINDOWS, _still(WINDOWS)))
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-5)
    for i, keys in enumerate(chosen):
        for key in keys:
            one = found.maps[i][key]
            assert one.frozen is not None and one.frozen.frozen is None
            assert (one.top, one.frozen.top) == (probabilities[i].argmax(), still[i].argmax())
            for windows, of in ((WINDOWS, one), (_still(WINDOWS), one.frozen)):
                heat = class_activation_map(model.network, windows[i : i + 1], layer="body", target=key, method=method)
                mine = torch.from_numpy(of.heat[method, "body"].copy())[None, None]
                fine = nn.functional.interpolate(mine, size=(4, 16, 16), mode="trilinear")[0, 0]
                torch.testing.assert_close(fine, heat[0], rtol=1e-3, atol=1e-6)
            if isinstance(key, int):
                assert one.frozen.probability == pytest.approx(float(still[i, key]), rel=1e-4)
            whole, still_heat = one.heat[method, "body"], one.frozen.heat[method, "body"]
            np.testing.assert_array_equal(one.part((method, "body"), "motion"), np.maximum(whole - still_heat, 0))
            np.testing.assert_array_equal(one.part((method, "body"), "whole"), whole)


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ({"probabilities": "sigmoid"}, 1, "are no softmax"),
        ({"probabilities": "none"}, 1, "the target has none"),
        ({}, lambda output: output[:, 1], "the target has none"),
        ({}, Contrast(0, 1, "a - b", lambda output: output), "the target has none"),
    ],
    ids=["sigmoid", "values", "function", "contrast"],
)
def test_targets_that_have_no_share_say_why(settings: dict[str, Any], key: Any, reason: str) -> None:
    model = _model(**settings)
    found = attributed_twice(Attributor(model, ["body"], ["gradcam"]), Batch([0, 2, 4], WINDOWS), lambda p: [[key]] * 3)
    maps = [of_window[key] for of_window in found.maps]
    inside, windowing = np.array([True, True, False]), Windowing(4, 2)
    share = share_of_motion(model, key, maps, [0, 2, 4], inside, windowing, lambda values: np.zeros((8, 1)))
    assert share.share is None and reason in share.undefined
    assert share.windows.shape == (2,) and share.frames.shape == (8,)
