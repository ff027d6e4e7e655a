from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vidcam.engine import precision
from vidcam.engine.attribution import Key, WindowMap
from vidcam.playground.demo import demo_clip
from vidcam.errors import SettingsError
from vidcam.engine.precision import SAME, Agreement, agreement, correlation, quickened
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.pipeline import explain
from vidcam.engine.loader import Reading
from vidcam.video.reader import Clip
from vidcam.video.windows import Windowing


@pytest.fixture(autouse=True)
def quick_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "quickest_dtype", lambda device: torch.bfloat16)


def _reading(model: Model, clip: Path | None = None, stride: int | None = None) -> Reading:
    return Reading(
        Clip(clip or demo_clip()),
        model,
        Windowing(model.spec.frames, stride or model.spec.frames // 2),
        lambda done, of: None,
    )


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=8), st.integers(0, 9))
def test_correlation_is_pearsons(values: list[float], seed: int) -> None:
    a = np.array(values, np.float32)
    b = np.random.default_rng(seed).normal(size=len(a)).astype(np.float32)
    if np.ptp(a) > 1e-3:
        assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-4)


def test_correlation_of_constant_maps() -> None:
    flat, other = np.zeros((2, 3, 3)), np.arange(18.0).reshape(2, 3, 3)
    assert correlation(flat, flat + 2) == 1
    assert correlation(flat, other) == correlation(other, flat) == 0


def test_agreement_is_that_of_all_maps_of_a_place_together_and_of_the_worst_place() -> None:
    rising, falling = np.arange(4.0).reshape(1, 2, 2), -np.arange(4.0).reshape(1, 2, 2)
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])

    def maps(*heats: np.ndarray, layer: str = "l") -> list[dict[Key, WindowMap]]:
        return [{i: WindowMap({("m", layer): heat}, 1.0)} for i, heat in enumerate(heats)]

    one, other = maps(rising, rising), maps(rising, 0.1 * falling)
    assert agreement((probabilities, one), (probabilities, one)) == Agreement(pytest.approx(1), True)
    expected = np.corrcoef(np.stack([rising, rising]).ravel(), np.stack([rising, 0.1 * falling]).ravel())[0, 1]
    assert 0 < expected < 1
    found = agreement((probabilities, one), (probabilities[:, ::-1], other))
    assert found == Agreement(pytest.approx(expected), False)
    for window, more in zip(one + other, maps(rising, rising, rising, falling, layer="k")):
        (key,), (key_of_more,) = window, more
        window[key].heat.update(more[key_of_more].heat)
    worst = agreement((probabilities, one), (probabilities, other)).correlation
    assert worst == pytest.approx(np.corrcoef([*range(4)] * 2, [*range(4), 0, -1, -2, -3])[0, 1])


def test_the_bundled_network_is_the_same_in_bfloat16() -> None:
    quick = quickened(_reading(load_model("playground-r2plus1d")), ["layer3"])
    assert quick.dtype == "bfloat16" and quick.note == ""
    assert quick.fidelity is not None and SAME <= quick.fidelity < 1
    assert next(quick.network.parameters()).dtype == torch.bfloat16
    assert quickened(_reading(quick), ["layer3"]) is quick


class Fine(nn.Module):
    """Tells classes apart by what bfloat16 rounds away."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv3d(3, 4, 1), nn.Linear(4, 2)
        nn.init.constant_(self.body.weight, 1e-4)
        nn.init.constant_(self.body.bias, 1.0)
        nn.init.constant_(self.fc.weight, 1.0)  # so that its map is not empty, which is the same in any float
        nn.init.constant_(self.fc.bias, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.body(x) - 1).mean((2, 3, 4)) * 1e4)


class Strict(nn.Module):
    """Takes float32 and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.fc = nn.Conv3d(3, 4, 1), nn.Conv3d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.stem(x) @ torch.ones(16, 16, device=x.device)).relu().mean((2, 3, 4)))


def _own(network: nn.Module) -> Model:
    torch.manual_seed(0)
    preprocess = Preprocess((16, 16), (16, 16), (0.5,) * 3, (0.2,) * 3)
    return own_model(network, preprocess=preprocess, frames=4, layer="body")


@pytest.mark.parametrize(
    ("network", "reason"),
    [(Fine(), "bfloat16 the first window's map correlates by"), (Strict(), "does not run in bfloat16")],
)
def test_where_the_explanation_changes_it_is_computed_in_float32(network: nn.Module, reason: str) -> None:
    model = _own(network)
    quick = quickened(_reading(model), ["body"])
    assert quick.dtype == "float32" and reason in quick.note and quick.fidelity == pytest.approx(1)
    assert next(quick.network.parameters()).dtype == torch.float32
    explanation = explain(demo_clip(), replace(model, spec=replace(model.spec, frame_rate=None)))
    assert any(reason in warning for warning in explanation.warnings)
    assert explanation.computation["dtype"] == "float32"


def test_what_is_asked_for_is_done_and_its_price_told() -> None:
    quick = quickened(_reading(_own(Fine())), ["body"], "bfloat16")
    assert quick.dtype == "bfloat16" and f"({SAME} is wanted)" in quick.note
    with pytest.raises(SettingsError, match="Strict does not run in bfloat16"):
        quickened(_reading(_own(Strict())), ["body"], "bfloat16")
    with pytest.raises(SettingsError, match="no dtype 'half'"):
        quickened(_reading(_own(Fine())), ["body"], "half")


def test_a_clip_of_few_windows_is_left_as_it_is() -> None:
    model = load_model("playground-r2plus1d")
    assert quickened(_reading(model, stride=16), ["layer3"], "float32").dtype == "float32"
    reading = _reading(model, stride=15)
    reading.clip.frames_announced = 60
    assert quickened(reading, ["layer3"]) is model
    reading.clip.frames_announced = 0  # not known
    assert quickened(reading, ["layer3"]).dtype == "bfloat16"


def test_a_model_is_prepared_once_and_again_when_its_weights_change() -> None:
    model = load_model("playground-r2plus1d")
    quick = quickened(_reading(model), ["layer3"])
    assert quickened(_reading(model), ["layer3"]) is quick
    assert quickened(_reading(model), ["layer2"]) is not quick
    with torch.no_grad():
        model.network.fc.weight.mul_(2)
    again = quickened(_reading(model), ["layer3"])
    assert again is not quick
    torch.testing.assert_close(again.network.fc.weight, 2 * quick.network.fc.weight)
    assert quickened(_reading(replace(model)), ["layer3"]) is not again
