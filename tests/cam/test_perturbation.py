from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from tests.cam.test_hiding import SIZE, covariance
from vidcam.cam.attribute import class_activation_map
from vidcam.cam.capture import captured
from vidcam.cam.hiding import absent, random_mask
from vidcam.cam.perturbation import occlusion, rise, rise_map, shapley
from vidcam.cam.scored import InputMap, InputParams, ScoredWindows, agreement_of_halves
from vidcam.errors import SettingsError


def _windows(*size: int) -> Tensor:
    return torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(5)).double()


def _curved(windows: Tensor) -> Tensor:
    """A score in which parts of a window work together."""
    weights = torch.randn(windows.shape[1:], generator=torch.Generator().manual_seed(6)).double()
    of_frames = 8 * (windows * weights).mean((1, 3, 4))
    return of_frames.sum(1).tanh() + (of_frames[:, 0] * of_frames[:, -1]).tanh()


class Counted:
    """Parameters, and a score that counts its runs."""

    def __init__(self, windows: Tensor, score: Callable[[Tensor], Tensor] = _curved, **params: object) -> None:
        self.passes = 0
        self.scored = ScoredWindows(windows, score, InputParams(**params), self._count)  # type: ignore[arg-type]

    def _count(self) -> None:
        self.passes += 1


@pytest.mark.slow
def test_rise_converges_to_the_exact_map_of_a_linear_score() -> None:
    weights = torch.randn(SIZE, generator=torch.Generator().manual_seed(2)).double()
    t, h, w = covariance()
    exact = np.clip(np.einsum("at,bh,cw,thw->abc", t, h, w, weights.numpy()) / 2, 0, None)
    errors = []
    for count in (100, 400, 1600):
        of_seeds = []
        for seed in range(6):
            generator = torch.Generator().manual_seed(100 * seed + count)
            masks = torch.stack([random_mask(SIZE, generator) for _ in range(count)]).double()
            scores = torch.einsum("mthw,thw->m", masks, weights)[None]
            of_seeds.append(np.abs(rise_map(masks, scores)[0].numpy() - exact).mean())
        errors.append(np.mean(of_seeds))
    slope = np.polyfit(np.log([100, 400, 1600]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1) and errors[-1] < 0.3 * exact.mean()


def test_rise_does_not_change_with_a_constant_of_the_score() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, scores = torch.rand((20, 2, 3, 4), generator=generator), torch.randn((2, 20), generator=generator)
    torch.testing.assert_close(rise_map(masks, scores), rise_map(masks, scores + 7), atol=1e-5, rtol=1e-4)
    by_hand = sum((scores[1, m] - scores[1].mean()) * masks[m] for m in range(20)) / masks.sum(0)
    torch.testing.assert_close(rise_map(masks, scores)[1], by_hand.clamp(min=0))


class Place(nn.Module):
    """Scores the movement in one place; its last layer has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.AvgPool3d((2, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.keep(x)
        with torch.no_grad():
            score = (x - x.roll(1, 2))[:, :, 3:6, 8:16, 20:28].abs().mean((1, 2, 3, 4))
        return torch.stack([score, -score], 1)


def test_rise_finds_the_place_of_a_network_without_gradients() -> None:
    window = torch.rand((1, 3, 8, 32, 32), generator=torch.Generator().manual_seed(3))
    heat = class_activation_map(Place().eval(), window, target=0, method="rise")[0]
    t, h, w = np.unravel_index(int(heat.argmax()), heat.shape)
    assert 2 <= t < 7 and 8 <= h < 16 and 20 <= w < 28


@pytest.mark.parametrize("kind", ["auto", "frozen"])
def test_rise_runs_the_network_on_what_its_masks_show(kind: str) -> None:
    window, network = torch.rand((1, 3, 8, 32, 32), generator=torch.Generator().manual_seed(3)), Place().eval()
    with captured(network, ["keep"], window) as capture:
        seen = len(capture.activations)
        found = rise(capture.scored(lambda output: output[:, 0], InputParams(kind, passes=40)))
        assert len(capture.activations) == seen == 1 and found.heat.shape == (1, 8, 14, 14)
    generator, masks, scores = torch.Generator().manual_seed(0), [], []
    hidden = absent(window, "frozen-blurred" if kind == "auto" else kind)
    for _ in range(40):
        mask = random_mask(window.shape[2:], generator)
        masks.append(adaptive_avg_pool3d(mask[None, None], (8, 14, 14))[0, 0])
        with torch.no_grad():
            scores.append(network(mask * window + (1 - mask) * hidden)[:, 0])
    torch.testing.assert_close(found.heat, rise_map(torch.stack(masks), torch.stack(scores, 1)))
    halves = [rise_map(torch.stack(masks[half::2]), torch.stack(scores[half::2], 1)) for half in (0, 1)]
    r = np.corrcoef(*(half.flatten().numpy() for half in halves))[0, 1]
    assert found.converged is not None and float(found.converged) == pytest.approx(2 * r / (1 + r), abs=1e-4)


def test_the_agreement_of_halves_is_the_correlation_of_whole_runs() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, estimated, true = torch.randn(4000, generator=generator), [], []
    for _ in range(20):
        halves = [truth + 1.5 * torch.randn(4000, generator=generator) for _ in range(4)]
        estimated.append(float(agreement_of_halves(halves[0][None], halves[1][None])))
        true.append(np.corrcoef((halves[0] + halves[1]).numpy(), (halves[2] + halves[3]).numpy())[0, 1])
    assert np.mean(estimated) == pytest.approx(np.mean(true), abs=0.01) and 0.4 < np.mean(true) < 0.5
    assert agreement_of_halves(torch.ones(1, 3), torch.rand(1, 3)).tolist() == [0]


@pytest.mark.parametrize(
    ("size", "passes", "grid", "kind"),
    [
        ((4, 7, 7), None, (4, 7, 7), "auto"),
        ((5, 9, 10), 30, (4, 2, 2), "grey"),
        ((2, 3, 3), 3, (2, 1, 1), "blurred"),
        ((5, 2, 6), None, (4, 2, 6), "auto"),
        ((5, 4, 4), 36, (4, 2, 2), "auto"),  # 9 blocks in each step take one pass more
        ((5, 4, 4), 37, (4, 3, 3), "auto"),
        ((5, 3, 3), 4, (3, 1, 1), "auto"),  # 4 steps take one pass more
    ],
)
def test_occlusion_is_the_fall_of_the_score_without_each_block(
    size: tuple[int, int, int], passes: int | None, grid: tuple[int, int, int], kind: str
) -> None:
    windows = _windows(*size)
    given = Counted(windows, absent=kind, passes=passes)
    found = occlusion(given.scored)
    assert found.heat.shape == (2, *grid) and found.converged is None
    assert given.passes == 1 + grid[0] * grid[1] * grid[2] <= (passes or 200)
    hidden, expected = absent(windows, "frozen" if kind == "auto" else kind), np.zeros((2, *grid))
    edges = [[-(-side * i // cells) for i in range(cells + 1)] for side, cells in zip(size, grid)]
    for t, h, w in itertools.product(*map(range, grid)):
        without = windows.clone()
        at = tuple(slice(edges[a][i], edges[a][i + 1]) for a, i in enumerate((t, h, w)))
        without[(slice(None), slice(None), *at)] = hidden[(slice(None), slice(None), *at)]
        expected[:, t, h, w] = (_curved(windows) - _curved(without)).clamp(min=0)
    np.testing.assert_allclose(found.heat.numpy(), expected, atol=1e-6)
    assert (expected > 0).any() and (expected == 0).any()


def test_shapley_values_are_the_mean_gain_over_all_orders_of_the_stretches() -> None:
    windows = _windows(7, 4, 4)
    given = Counted(windows, stretches=3)
    found = shapley(given.scored)
    assert given.passes == 8 and found.heat.shape == (2, 7, 1, 1) and found.converged is None
    stretches, hidden = ([0, 1, 2], [3, 4], [5, 6]), absent(windows, "frozen")
    gains = np.zeros((2, 3))
    for order in itertools.permutations(range(3)):
        shown = hidden.clone()
        for one in order:
            before = _curved(shown)
            shown[:, :, stretches[one]] = windows[:, :, stretches[one]]
            gains[:, one] += (_curved(shown) - before).numpy() / 6
    np.testing.assert_allclose(gains.sum(1), _curved(windows) - _curved(hidden), atol=1e-6)
    for frame in range(7):
        of = next(i for i, frames in enumerate(stretches) if frame in frames)
        np.testing.assert_allclose(found.heat[:, frame, 0, 0], gains[:, of].clip(0), atol=1e-6)
    assert (gains > 0.01).any() and (gains < 0).any()


def test_random_orders_give_parts_that_add_up_their_own_value() -> None:
    windows = _windows(20, 2, 2)
    own = (windows - absent(windows, "grey")).sum((1, 3, 4)).clamp(min=0)
    given = Counted(windows, lambda w: w.sum((1, 2, 3, 4)), stretches=20, passes=100, absent="grey")
    found = shapley(given.scored)
    torch.testing.assert_close(found.heat[:, :, 0, 0], own.float(), atol=1e-4, rtol=1e-4)
    assert given.passes == 2 * (2 * 20 + 1) and found.converged is not None  # a third order in each half would take 122
    torch.testing.assert_close(found.converged, torch.ones(2))


def test_random_orders_converge_to_the_exact_values() -> None:
    windows = _windows(9, 4, 4)
    exact = shapley(Counted(windows, stretches=9, passes=512).scored)
    errors = []
    for passes in (40, 500):
        found = shapley(Counted(windows, stretches=9, passes=passes).scored)
        assert found.converged is not None and (found.converged < 1).all()
        errors.append(float((found.heat - exact.heat).abs().mean()))
    assert exact.converged is None and errors[1] < 0.5 * errors[0] and errors[1] < 0.1 * exact.heat.mean()


def test_the_same_orders_are_drawn_each_time() -> None:
    windows = _windows(10, 2, 2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (shapley(Counted(windows, stretches=10, passes=50).scored).heat for _ in range(2))
    assert torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
    alone = shapley(Counted(windows[1:], stretches=10, passes=50).scored).heat
    torch.testing.assert_close(alone, second[1:])


@pytest.mark.parametrize("method", [rise, occlusion, shapley])
def test_rounding_gives_no_heat(method: Callable[[ScoredWindows], InputMap]) -> None:
    windows = _windows(4, 8, 8).float()
    seen = torch.Generator().manual_seed(0)

    def score(given: Tensor) -> Tensor:
        return 30 + 1e-5 * torch.rand(len(given), generator=seen)

    assert not method(Counted(windows, score, passes=20).scored).heat.any()
    assert method(Counted(windows, lambda w: score(w) + w.mean((1, 2, 3, 4)), passes=20).scored).heat.any()


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        (rise, {"passes": 1}, "rise takes 2 passes or more, and 1 is given; give more passes"),
        (occlusion, {"passes": 1}, "occlusion of a block takes 2 passes, and 1 is given; give more passes"),
        (shapley, {"passes": 21, "stretches": 10}, "two orders of 10 stretches take 22 passes, and 21 are given"),
    ],
)
def test_too_few_passes(method: Callable[..., object], params: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        method(Counted(_windows(10, 4, 4), **params).scored)


def test_a_missing_captum_is_said_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(SettingsError, match=r"captum's, which is not installed.*pip install 'vidcam\[captum\]'"):
        occlusion(Counted(_windows(4, 4, 4)).scored)
