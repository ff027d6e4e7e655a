from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vidcam
from tests.conftest import write_video
from vidcam.engine import check as module
from vidcam.engine.check import RANDOM, check
from vidcam.errors import SettingsError, TargetError
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model

SIZE = (8, 28, 28)
PLACE = (
    slice(None),
    slice(2, 4),
    slice(8, 16),
    slice(4, 12),
)  # of 8 x 28 x 28: four blocks of 4 x 7 x 7 and their edges
TIMES = (0.5, 1.2)


class Movement(nn.Module):
    """The score of class 0 is the change from frame to frame inside `PLACE`, that of class 1 is 0."""

    def __init__(self, part: tuple[slice, ...] = PLACE) -> None:
        super().__init__()
        self.keep, self.part = nn.Conv3d(3, 3, 1), part

    def forward(self, x: Tensor) -> Tensor:
        seen = x - x.roll(1, 2)
        score = seen[(slice(None), *self.part)].abs().mean((1, 2, 3, 4))
        return torch.stack([6 * score, 0 * score], 1)


class Brightness(Movement):
    """The score of class 0 is the contrast inside `PLACE`."""

    def forward(self, x: Tensor) -> Tensor:
        score = x[(slice(None), *self.part)].flatten(1).std(1)
        return torch.stack([8 * score, 0 * score], 1)


def _model(network: nn.Module) -> Model:
    return own_model(network, frames=SIZE[0], preprocess=Preprocess(28, (28, 28), (0.0,) * 3, (1.0,) * 3), layer="keep")


def _window() -> Tensor:
    return torch.randn((3, *SIZE), generator=torch.Generator().manual_seed(1))


def _still() -> Tensor:
    return _window()[:, :1].expand(3, *SIZE).contiguous()


def _probability(output: Tensor) -> Tensor:
    return output.softmax(1)[:, 0]


def _heat(on: bool) -> np.ndarray:
    heat = np.zeros(SIZE, np.float32)
    heat[PLACE[1:]] = 1
    return heat if on else 1 - heat


@pytest.mark.parametrize(
    ("network", "window", "by"), [(Movement, _window(), "frozen"), (Brightness, _still(), "blurred")]
)
def test_what_is_hidden_is_what_the_network_sees(network: Any, window: Tensor, by: str) -> None:
    model = _model(network())
    right, wrong = (check(model, window, _heat(on), _probability, TIMES, 0.5) for on in (True, False))
    assert right.hidden_by == wrong.hidden_by == by and (right.start, right.end) == TIMES
    assert right.passed and not wrong.passed
    assert right.cost > 5 * right.random_costs.mean() and len(right.random) == RANDOM
    with torch.no_grad():
        assert right.score == pytest.approx(float(_probability(model.network(window[None]))), abs=1e-6)


def test_the_hottest_blocks_are_hidden_by_the_middle_frame() -> None:
    seen: list[Tensor] = []

    class Watching(Movement):
        def forward(self, x: Tensor) -> Tensor:
            seen.extend(x)
            return super().forward(x)

    model, window = _model(Watching()), _window()
    seen.clear()
    found = check(model, window, _heat(True), _probability, TIMES, 0.5)
    assert len(seen) == 3 + 1 + RANDOM and found.share == 20 / 196
    middle = window[:, 4, None].expand_as(window)
    assert torch.equal(seen[0], window) and torch.equal(seen[1], middle)
    for hidden in seen[3:]:
        changed = (hidden != window).any(0)
        assert torch.equal(hidden, torch.where(changed, middle, window)) and 10 * 32 <= changed.sum() <= 20 * 32
    hottest = (seen[3] != window).any(0)
    assert hottest[2:4, 8:16, 4:12].all()


@pytest.mark.parametrize(
    ("chance", "part", "heat", "said"),
    [
        (0.9999, PLACE, _heat(True), "is near that of chance, 1"),
        (0.5, PLACE, np.zeros(SIZE), "the map of its best window is empty"),
        (0.0, (slice(0, 0), slice(1), slice(1)), _heat(True), "with the whole window hidden"),
    ],
)
def test_where_there_is_nothing_to_test(chance: float, part: Any, heat: np.ndarray, said: str) -> None:
    class Sure(Movement):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nan_to_num(super().forward(x))

    found = check(_model(Sure(part)), _window(), heat, _probability, TIMES, chance)
    assert said in found.untested and not found.passed


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Path]:
    frames = np.full((32, 28, 28, 3), 90, np.uint8)
    frames[8:24, 8:16, 4:12] = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    yield write_video(tmp_path / "clip.mkv", list(frames), codec="ffv1", pixel_format="bgra")


class Place(nn.Module):
    """Scores what changes inside `PLACE`'s part of the picture, at any time, through a layer with time and space."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.Conv3d(3, 1, 1)
        nn.init.constant_(self.keep.weight, 1.0)
        nn.init.constant_(self.keep.bias, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        moved = self.keep((x[:, :, 1:] - x[:, :, :-1]).abs())
        score = moved[..., 8:16, 4:12].mean((1, 2, 3, 4))
        return torch.stack([6 * score, 0 * score + 1, 0 * score, 0 * score], 1)


def test_an_explanation_is_checked_where_the_class_is_surest(acting: Path, tmp_path: Path) -> None:
    model = _model(Place())
    recipe = vidcam.Recipe(method="gradcam,hirescam", check=True, context=False)
    found, _ = vidcam.Explainer(model, recipe).explain(acting, 0)
    assert found.check is not None and found.check.passed, found.check
    assert found.check.score == pytest.approx(found.window_scores.max(), abs=1e-3)
    assert found.warnings == vidcam.explain(acting, model, 0, method="gradcam", context=False).warnings
    found.save(tmp_path / "out")
    assert vidcam.load_explanation(tmp_path / "out").check == found.check
    unlike = vidcam.explain(acting, model, 3, method="gradcam", check=True, context=False)
    assert unlike.warnings[0].startswith("the heat for class 3 is not tested: the check does not apply: ")


def test_recipes_that_cannot_be_checked(acting: Path) -> None:
    model = _model(Place())
    with pytest.raises(SettingsError, match=r"check: .*it tests maps of windows, and dense"):
        vidcam.explain(acting, model, 0, check=True, dense=True)
    with pytest.raises(SettingsError, match="check tests explanations and no localization"):
        vidcam.localize(acting, model, [0], check=True)
    with pytest.raises(TargetError, match="is at one time; leave check out"):
        vidcam.explain(acting, model, "class 0 @ 0.5", check=True)
    assert module.SHARE == 0.1


class ShareOfMovement(Movement):
    """The score is the share of the change that is inside `PLACE`: not a number for a window that stands still."""

    def forward(self, x: Tensor) -> Tensor:
        seen = (x - x.roll(1, 2)).abs()
        score = seen[(slice(None), *self.part)].sum((1, 2, 3, 4)) / seen.sum((1, 2, 3, 4))
        return torch.stack([400 * score, 0 * score], 1)


@pytest.mark.parametrize("absence", ["frozen", "grey", "auto"])
def test_a_score_that_is_not_finite_with_the_window_hidden_tests_nothing(absence: str) -> None:
    found = check(_model(ShareOfMovement()), _window(), _heat(True), _probability, TIMES, 0.5, absence)
    assert not found.passed and "with parts hidden its score is not a finite number" in found.untested


def test_blocks_of_the_same_heat_are_chosen_at_random() -> None:
    first = (slice(None), slice(0, 2), slice(0, 12), slice(0, 28))  # the blocks of the lowest indices
    found = check(_model(Movement(first)), _window(), np.ones(SIZE, np.float32), _probability, TIMES, 0.5)
    assert not found.untested and not found.passed
