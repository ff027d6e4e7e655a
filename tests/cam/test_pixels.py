from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.hiding import ABSENT, absent
from vidcam.cam.pixels import integrated_gradients, pixel_shares, smoothgrad
from vidcam.cam.scored import InputParams, ScoredWindows, agreement_of_halves
from vidcam.errors import ModelError, SettingsError

SIZE = (4, 6, 5)


def _windows() -> Tensor:
    return torch.randn((2, 3, *SIZE), generator=torch.Generator().manual_seed(5)).double()


class Smooth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.body = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.GELU(), nn.Conv3d(6, 4, 3), nn.Tanh())
            self.head = nn.Linear(4, 2)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3, 4)))


def _score(windows: Tensor) -> Tensor:
    return 10 * SMOOTH(windows)[:, 1]


SMOOTH = Smooth()
WEIGHTS = torch.randn((3, *SIZE), generator=torch.Generator().manual_seed(7)).double()


def _linear(windows: Tensor) -> Tensor:
    return (windows * WEIGHTS).sum((1, 2, 3, 4)) + 3


@pytest.mark.parametrize("kind", ABSENT)
def test_the_shares_add_up_to_the_change_of_the_score(kind: str) -> None:
    windows = _windows()
    shares, missed = pixel_shares(ScoredWindows(windows, _score, InputParams(kind)))
    change = (_score(windows) - _score(absent(windows, kind))).detach()
    torch.testing.assert_close(shares.sum((1, 2, 3, 4)), change, atol=1e-3, rtol=1e-3)
    assert (missed < 1e-3).all() and (change.abs() > 5e-3).all()


def test_the_part_that_the_sum_misses_with_a_single_point() -> None:
    scored = ScoredWindows(_windows(), _score, InputParams(passes=1))
    shares, missed = pixel_shares(scored)
    change = (_score(scored.windows) - _score(absent(scored.windows, "frozen-blurred"))).detach()
    expected = ((shares.sum((1, 2, 3, 4)) - change) / change).abs()
    torch.testing.assert_close(missed.double(), expected, atol=1e-5, rtol=1e-4)
    found = integrated_gradients(scored)
    assert found.converged is not None and expected.max() > 0.1
    torch.testing.assert_close(found.converged, (1 - missed).clamp(min=0))


def test_they_are_the_mean_gradient_on_the_way_from_what_is_absent() -> None:
    windows = _windows()
    start, total = absent(windows, "grey"), torch.zeros_like(windows)
    for step in range(400):
        at = (start + (step + 0.5) / 400 * (windows - start)).requires_grad_(True)
        total += torch.autograd.grad(_score(at).sum(), at)[0] / 400
    expected = ((windows - start) * total).sum(1).clamp(min=0)
    found = integrated_gradients(ScoredWindows(windows, _score, InputParams("grey")))
    torch.testing.assert_close(found.heat, expected.float(), atol=1e-5, rtol=1e-3)


def test_they_are_gradient_times_input_for_a_linear_score() -> None:
    windows = _windows()
    shares, missed = pixel_shares(ScoredWindows(windows, _linear, InputParams("blurred", passes=2)))
    expected = WEIGHTS * (windows - absent(windows, "blurred"))
    torch.testing.assert_close(shares, expected, atol=1e-6, rtol=1e-6)
    assert (missed < 1e-6).all()


def test_large_frames_are_explained_in_cells() -> None:
    windows = torch.randn((1, 3, 2, 56, 30), generator=torch.Generator().manual_seed(5)).double()
    weights = torch.randn((3, 2, 56, 30), generator=torch.Generator().manual_seed(6)).double()
    scored = ScoredWindows(windows, lambda w: (w * weights).sum((1, 2, 3, 4)), InputParams(passes=2))
    edges = [(30 * c // 28, -(-30 * (c + 1) // 28)) for c in range(28)]  # of adaptive pooling
    maps = {integrated_gradients: pixel_shares(scored)[0].sum(1), smoothgrad: weights.abs().sum(0)[None]}
    for method, of_pixels in maps.items():
        expected = torch.stack([of_pixels[..., a:b].mean(-1) for a, b in edges], -1).unflatten(2, (28, 2)).mean(3)
        torch.testing.assert_close(method(scored).heat, expected.clamp(min=0).float())


def test_smoothgrad_is_the_mean_gradient_under_noise() -> None:
    windows, halves, generator = _windows(), [], torch.Generator().manual_seed(0)
    sigma = 0.15 * (windows.flatten(1).amax(1) - windows.flatten(1).amin(1))
    for samples in (4, 3):
        of_half = torch.zeros_like(windows)
        for _ in range(samples):
            noise = torch.randn(windows.shape[1:], generator=generator)
            at = torch.stack([w + s * noise for w, s in zip(windows, sigma)]).requires_grad_(True)
            of_half += torch.autograd.grad(_score(at).sum(), at)[0]
        halves.append(of_half)
    found = smoothgrad(ScoredWindows(windows, _score, InputParams(passes=7)))
    torch.testing.assert_close(found.heat, ((halves[0] + halves[1]) / 7).abs().sum(1).float())
    assert found.converged is not None
    torch.testing.assert_close(
        found.converged, agreement_of_halves(*(half.abs().sum(1) for half in halves)), atol=1e-5, rtol=1e-5
    )
    alone = smoothgrad(ScoredWindows(windows[1:], _score, InputParams(passes=7)))
    torch.testing.assert_close(alone.heat, found.heat[1:])


def test_smoothgrad_of_a_linear_score_is_its_weights() -> None:
    found = smoothgrad(ScoredWindows(_windows(), _linear, InputParams(passes=3)))
    torch.testing.assert_close(found.heat, WEIGHTS.abs().sum(0).expand(2, *SIZE).float())


def test_smoothgrad_takes_a_pass_for_each_half() -> None:
    runs: list[None] = []
    scored = ScoredWindows(_windows(), _score, InputParams(passes=2), lambda: runs.append(None))
    assert torch.isfinite(smoothgrad(scored).heat).all() and len(runs) == 2
    with pytest.raises(SettingsError, match="smoothgrad takes 2 passes or more, and 1 is given; give more passes"):
        smoothgrad(ScoredWindows(_windows(), _score, InputParams(passes=1)))


@pytest.mark.parametrize("method", ["integrated-gradients", "smoothgrad"])
def test_a_network_keeps_its_parameters_without_gradients_and_one_without_them_is_refused(method: str) -> None:
    windows = _windows()
    heat = class_activation_map(SMOOTH, windows, target=1, method=method)
    assert heat.shape == (2, *SIZE) and heat.std() > 0
    assert all(p.grad is None and p.requires_grad for p in SMOOTH.parameters())

    class Outside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(SMOOTH(x).detach().numpy())

    with pytest.raises(ModelError, match=r"no gradient by the window's pixels.*: rise, occlusion or shapley"):
        class_activation_map(Outside(), windows, target=1, method=method)


def test_integrated_gradients_name_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(SettingsError, match="pip install"):
        integrated_gradients(ScoredWindows(_windows(), _score))
