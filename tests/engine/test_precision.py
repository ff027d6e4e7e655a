from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.engine import precision
from vidcam.engine.agreement import Agreement
from vidcam.engine.loader import WindowLoader
from vidcam.engine.precision import SAME, optimized, shortest_dtype
from vidcam.errors import SettingsError
from vidcam.explainer import Explainer, explain
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.playground.demo import demo_clip
from vidcam.recipe import Recipe
from vidcam.video.reader import Clip
from vidcam.video.windows import Windowing


@pytest.fixture(autouse=True)
def quick_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "quickest_dtype", lambda device: torch.bfloat16)


def _loader(model: Model, stride: int | None = None) -> WindowLoader:
    windowing = Windowing(model.spec.frames, stride or model.spec.frames // 2)
    return WindowLoader(Clip(demo_clip()), model.spec, windowing, lambda done, of: None)


def _optimized(model: Model, layers: list[str], dtype: str = "auto", stride: int | None = None) -> Model:
    return optimized(model, layers, dtype, _loader(model, stride))


def test_the_bundled_network_is_the_same_in_bfloat16() -> None:
    quick = _optimized(load_model("playground-r2plus1d"), ["layer3"])
    assert quick.dtype == "bfloat16" and quick.note == ""
    assert quick.fidelity is not None and SAME <= quick.fidelity < 1
    assert next(quick.network.parameters()).dtype == torch.bfloat16
    assert _optimized(quick, ["layer3"]) is quick


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
    quick = _optimized(model, ["body"])
    assert quick.dtype == "float32" and reason in quick.note and quick.fidelity == pytest.approx(1)
    assert next(quick.network.parameters()).dtype == torch.float32
    explanation = explain(demo_clip(), replace(model, spec=replace(model.spec, frame_rate=None)))
    assert any(reason in warning for warning in explanation.warnings)
    assert explanation.computation["dtype"] == "float32"


def test_what_is_asked_for_is_done_and_its_price_told() -> None:
    quick = _optimized(_own(Fine()), ["body"], "bfloat16")
    assert quick.dtype == "bfloat16" and f"({SAME} is wanted)" in quick.note
    with pytest.raises(SettingsError, match="Strict does not run in bfloat16"):
        _optimized(_own(Strict()), ["body"], "bfloat16")


@pytest.mark.slow
def test_a_clip_of_few_windows_is_left_as_it_is() -> None:
    model = load_model("playground-r2plus1d")
    assert _optimized(model, ["layer3"], "float32", stride=16).dtype == "float32"
    loader = _loader(model, stride=15)
    loader.source.frames_announced = 60
    assert optimized(model, ["layer3"], "auto", loader) is model
    loader.source.frames_announced = 61
    assert optimized(model, ["layer3"], "auto", loader).dtype == "bfloat16"
    loader.source.frames_announced = 0  # not known
    assert optimized(replace(model), ["layer3"], "auto", loader).dtype == "bfloat16"


def test_the_shortest_dtype_is_found_for_a_clip_of_few_windows() -> None:
    model = load_model("playground-r2plus1d")
    loader = _loader(model, stride=15)
    loader.source.frames_announced = 60
    assert shortest_dtype(model, ["layer3"], loader) == "bfloat16"
    assert shortest_dtype(_own(Fine()), ["body"], _loader(_own(Fine()))) == "float32"


@pytest.mark.parametrize("change", ["data", "moved", "module", "buffer"])
def test_every_change_of_a_network_is_noticed(change: str) -> None:
    """Also one through `.data`, which no version counts."""
    model = _own(nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.AdaptiveAvgPool3d(1), nn.Flatten()))
    network = model.network
    before = precision._state(network)
    assert precision._state(network) == before
    with torch.no_grad():
        if change == "data":
            network[0].weight.data[0, 0] += 1
        elif change == "moved":
            network[0].weight.data = network[0].weight.data.clone()
        elif change == "module":
            network[2] = nn.AdaptiveAvgPool3d(1)
        else:
            network[1].running_mean += 1
    assert precision._state(network) != before


@pytest.mark.slow
def test_the_dtype_that_is_asked_for_is_used_and_its_agreement_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, note in ((Agreement(SAME, True), ""), (Agreement(0.5, True), "correlates by 0.5000 with float32's (")):
        monkeypatch.setattr(precision, "agreement", lambda one, other, found=found: found)
        quick = _optimized(load_model("playground-c3d"), ["pool4"], "float16")
        assert (quick.dtype, quick.fidelity) == ("float16", found.correlation)
        assert note in quick.note and bool(note) == bool(quick.note)


def test_the_note_of_a_model_stays_in_front_of_why_it_computes_in_float32() -> None:
    quick = _optimized(replace(_own(Fine()), note="random weights"), ["body"])
    assert quick.note.startswith("random weights; Fine computes in float32: in bfloat16 the first window's map")


@pytest.mark.slow
def test_a_model_is_prepared_once_and_again_when_its_weights_change() -> None:
    model = load_model("playground-r2plus1d")
    quick = _optimized(model, ["layer3"])
    assert _optimized(model, ["layer3"]) is quick
    with torch.no_grad():
        model.network.fc.weight.mul_(2)
    again = _optimized(model, ["layer3"])
    assert again is not quick
    torch.testing.assert_close(again.network.fc.weight, 2 * quick.network.fc.weight)
    assert _optimized(replace(model), ["layer3"]) is not again
    assert _optimized(model, ["layer3"]) is again
    assert _optimized(model, ["layer2"]) is not again and len(model.cache) == 1


@pytest.mark.parametrize(
    ("found", "dtype", "note"),
    [
        (Agreement(SAME, True), "bfloat16", ""),
        (
            Agreement(SAME - 1e-3, True),
            "float32",
            "in bfloat16 the first window's map correlates by 0.9940 with float32's;",
        ),
        (Agreement(1.0, False), "float32", "with float32's and its top class is another one;"),
    ],
)
def test_maps_and_top_class_must_agree(
    monkeypatch: pytest.MonkeyPatch, found: Agreement, dtype: str, note: str
) -> None:
    monkeypatch.setattr(precision, "agreement", lambda one, other: found)
    quick = _optimized(load_model("playground-r2plus1d"), ["layer3"])
    assert (quick.dtype, quick.fidelity) == (dtype, found.correlation if dtype == "bfloat16" else None)
    assert note in quick.note and bool(note) == bool(quick.note)


@pytest.mark.parametrize("stride", [4, 100])  # many windows and few
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_that_is_not_float32_is_run_as_it_is_and_reported_so(dtype: torch.dtype, stride: int) -> None:
    network = nn.Sequential(
        nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8)), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
    ).to(dtype)
    model, name = own_model(network, frames=8), str(dtype).removeprefix("torch.")
    found = _optimized(model, ["1"], stride=min(stride, 8))
    assert found.network is network and found.dtype == name and found.note == ""
    recipe = Recipe(stride=min(stride, 8))
    (explained,) = Explainer(model, recipe).explain(np.zeros((10 * stride // 4, 112, 112, 3), np.uint8), 0)
    assert explained.computation["dtype"] == name
    with pytest.raises(
        SettingsError, match=rf"Sequential is in {name} and is run as it is; give dtype auto, or own_model"
    ):
        _optimized(model, ["1"], "float32")
