from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.conftest import only
from vidcam.cam.capture import captured
from vidcam.cam.methods import (
    METHODS,
    gradcam,
    gradcam_plus_plus,
    gradcam_plus_plus_alpha,
    gradcam_plus_plus_softmax,
    method_named,
    needs,
    saliency_tubes,
    score_cam,
    xgradcam,
)
from vidcam.errors import LayerError, SettingsError
from vidcam.playground.networks import SmallR2Plus1D, small_c3d


class Pooled(nn.Module):
    """Global pooling and one linear layer after the target layer `a`, as in R(2+1)D."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.a(x).mean((2, 3, 4)))


class Connected(nn.Module):
    """A fully connected layer after the target layer, as in C3D: the gradient varies by position."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1), nn.ReLU())
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(5 * 2 * 4 * 4, 7), nn.ReLU(), nn.Linear(7, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.a(x))


class Deep(nn.Module):
    """Convolution, in-place rectifier and max pooling after the target layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1), nn.ReLU())
        self.rest = nn.Sequential(
            nn.Conv3d(5, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 2, 2)),
            nn.Flatten(),
            nn.Linear(48, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.a(x))


def _exponential(scores: Tensor) -> Tensor:
    return torch.exp(scores[0, 2])


def _probability(scores: Tensor) -> Tensor:
    return scores.softmax(1)[0, 2]


def _oracle(activation: Tensor, head: Any, y_of: Any) -> tuple[Tensor, Tensor]:
    """alpha and map from the true second and third derivatives of Y, one position of A at a time."""
    flat = activation.flatten()
    alpha, first = torch.zeros_like(flat), torch.zeros_like(flat)
    per_channel = activation[0, 0].numel()
    for i in range(len(flat)):
        value = flat[i].clone().requires_grad_(True)
        y = y_of(head(torch.cat([flat[:i], value[None], flat[i + 1 :]]).view_as(activation)))
        (d1,) = torch.autograd.grad(y, value, create_graph=True)
        d2, d3 = torch.zeros(()), torch.zeros(())
        if d1.requires_grad:
            (d2,) = torch.autograd.grad(d1, value, create_graph=True)
            (d3,) = torch.autograd.grad(d2, value)
        denominator = 2 * d2 + activation[0, i // per_channel].sum() * d3
        alpha[i] = (d2 / denominator).detach() if denominator != 0 else 0
        first[i] = (d1 / y).detach()
    alpha, first = alpha.view_as(activation), first.view_as(activation)
    weights = (alpha * first.clamp(min=0)).sum((2, 3, 4), keepdim=True)
    return alpha, (weights * activation).sum(1).clamp(min=0)


def _captured(kind: type[nn.Module], scale: float = 1.0) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor], Any]:
    """Activation, gradient and cumulants at `a` for class 2 of a small network in float64, and its head."""
    torch.manual_seed(0)
    network = kind().double().eval()
    *_, last = (m for m in network.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        last.weight.mul_(scale)

    def head(a: Tensor) -> Tensor:
        if isinstance(network, Pooled):
            return network.fc(a.mean((2, 3, 4)))
        return network.fc(a) if isinstance(network, Connected) else network.rest(a)

    with captured(network, ["a"], torch.randn(1, 3, 2, 4, 4, dtype=torch.float64)) as capture:
        gradient = only(capture.gradients(capture.output[:, 2]))
        return only(capture.activations), gradient, capture.cumulants("a"), head


@pytest.mark.parametrize("kind", [Pooled, Connected, Deep])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_against_true_derivatives_of_exp(kind: type[nn.Module], scale: float) -> None:
    activation, gradient, _, head = _captured(kind, scale)
    alpha, heat = _oracle(activation, head, _exponential)
    assert heat.max() > 0
    found_alpha = gradcam_plus_plus_alpha(activation, gradient)
    assert (found_alpha - alpha).abs().max() <= 1e-9 * alpha.abs().max()
    assert (gradcam_plus_plus(activation, gradient) - heat).abs().max() <= 1e-9 * heat.max()


@pytest.mark.parametrize("kind", [Pooled, Connected, Deep])
def test_softmax_against_true_derivatives_of_the_probability(kind: type[nn.Module]) -> None:
    activation, gradient, cumulants, head = _captured(kind)
    _, heat = _oracle(activation, head, _probability)
    assert heat.max() > 0
    found = gradcam_plus_plus_softmax(activation, gradient, cumulants)
    assert (found - heat).abs().max() <= 1e-9 * heat.max()


def _slow(method: str, a: Tensor, g: Tensor) -> Tensor:
    """The map of one window, position by position, as the papers write it."""
    heat = torch.zeros(a.shape[1:], dtype=a.dtype)
    for place in product(*map(range, a.shape[1:])):
        for k in range(a.shape[0]):
            match method:
                case "gradcam":
                    weight = g[k].mean()
                case "gradcam+":
                    weight = sum(max(v, 0) for v in g[k].flatten().tolist()) / g[k].numel()
                case "hirescam":
                    weight = g[k][place]
                case "layercam":
                    weight = max(g[k][place].item(), 0.0)
                case "xgradcam":
                    weight = sum(g[k].flatten() * a[k].flatten()) / a[k].sum()
                case "gradcam-t":
                    weight = sum(g[k][place[0]].flatten().tolist()) / g[k][place[0]].numel()
                case "gradcam++t":
                    weight = 0.0
                    for value in g[k][place[0]].flatten().tolist():
                        denominator = 2 + value * a[k].sum().item()
                        alpha = 1 / denominator if value != 0 and denominator != 0 else 0.0
                        weight += alpha * max(value, 0.0)
            heat[place] += weight * a[k][place]
    return torch.where(heat > 0, heat, 0.0)


@pytest.mark.parametrize(
    "method", ["gradcam", "gradcam+", "hirescam", "layercam", "xgradcam", "gradcam-t", "gradcam++t"]
)
@pytest.mark.parametrize("kind", [Pooled, Connected, Deep])
def test_against_a_slow_loop(method: str, kind: type[nn.Module]) -> None:
    activation, gradient, _, _ = _captured(kind)
    expected = _slow(method, activation[0], gradient[0])
    assert expected.max() > 0
    torch.testing.assert_close(METHODS[method](activation, gradient)[0], expected, rtol=1e-9, atol=0)


def test_weights_in_time_are_those_of_the_window_where_the_head_pools() -> None:
    activation, gradient, _, _ = _captured(Pooled)
    steps = activation.shape[2]
    torch.testing.assert_close(METHODS["gradcam-t"](activation, gradient), gradcam(activation, gradient))
    torch.testing.assert_close(
        METHODS["gradcam++t"](activation, gradient) * steps, gradcam_plus_plus(activation, gradient)
    )


@pytest.mark.parametrize("method", ["gradcam++", "gradcam++t", "gradcam++signed"])
def test_activations_below_zero_count_for_nothing(method: str) -> None:
    random = torch.Generator().manual_seed(0)
    activation, gradient = (torch.randn(2, 3, 2, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    rectified = METHODS[method](activation.clamp(min=0), gradient)
    torch.testing.assert_close(METHODS[method](activation, gradient), rectified)
    assert rectified.std() > 0


def test_weights_in_time_tell_when_by_hand() -> None:
    # One channel, alike at both steps; the score depends on the second alone.
    a = torch.ones(1, 1, 2, 1, 1)
    g = torch.tensor([0.0, 4.0]).view(1, 1, 2, 1, 1)
    assert gradcam(a, g).flatten().tolist() == [2, 2] and METHODS["gradcam-t"](a, g).flatten().tolist() == [0, 4]
    # alpha = 1 / (2 + 4 * 2), times the gradient
    assert METHODS["gradcam++t"](a, g).flatten().tolist() == pytest.approx([0, 0.4])
    assert gradcam_plus_plus(a, g).flatten().tolist() == pytest.approx([0.4, 0.4])


def test_a_channel_that_is_silent_has_no_weight_in_xgradcam() -> None:
    a = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])[None]
    assert xgradcam(a, torch.ones_like(a)).unique().tolist() == [1.0]


def test_score_cam_by_hand() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 1, 2)
    scores = torch.tensor([[0.0, 3.0]]).log1p()  # weights 1/5 and 4/5
    torch.testing.assert_close(score_cam(a, scores).flatten(), torch.tensor([0.2, 1.6]))


def test_scores_behind_the_masks_of_channels() -> None:
    torch.manual_seed(0)
    network, x = Connected().eval(), torch.randn(2, 3, 2, 4, 4)
    with captured(network, ["a"], x) as capture:
        found = capture.masked_scores("a", lambda output: output[:, 1])
        activation = only(capture.activations)
    for n, k in product(range(2), range(5)):
        mask = activation[n, k] - activation[n, k].min()
        expected = network(x[n : n + 1] * (mask / mask.max()))[0, 1]
        torch.testing.assert_close(found[n, k], expected.detach(), rtol=1e-5, atol=1e-6)


def test_saliency_tubes_are_the_weights_of_the_class() -> None:
    activation, gradient, _, head = _captured(Pooled)
    weights = torch.autograd.functional.jacobian(lambda a: head(a)[0, 2], activation).sum((2, 3, 4))
    expected = torch.einsum("nc,ncthw->nthw", weights, activation).clamp(min=0)
    torch.testing.assert_close(saliency_tubes(activation, gradient), expected)
    with pytest.raises(LayerError, match="need a layer followed by global average pooling"):
        saliency_tubes(*_captured(Connected)[:2])


@pytest.mark.parametrize(("make", "layer"), [(SmallR2Plus1D, "layer2"), (small_c3d, "relu5b"), (small_c3d, "relu4b")])
def test_against_a_slow_loop_on_real_architectures(make: type[nn.Module], layer: str) -> None:
    torch.manual_seed(0)
    network = make(11).eval()
    with captured(network, [layer], torch.randn(1, 3, 16, 112, 112)) as capture:
        a, g = only(capture.activations).double(), only(capture.gradients(capture.output[:, 1])).double()
    expected = torch.zeros(a.shape[2:], dtype=torch.float64)
    for k in range(a.shape[1]):
        total, weight = a[0, k].sum(), 0.0
        for value in g[0, k].flatten().tolist():
            denominator = 2 * value**2 + total.item() * value**3
            weight += (value**2 / denominator if denominator != 0 else 0.0) * max(value, 0.0)
        expected += weight * a[0, k]
    expected = expected.clamp(min=0)
    assert expected.max() > 0
    torch.testing.assert_close(gradcam_plus_plus(a, g)[0], expected, rtol=1e-9, atol=0)


@given(st.integers(0, 2**31), st.floats(1e-12, 10))
@settings(max_examples=40, deadline=None)
def test_alpha_is_at_most_a_half_where_it_counts(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(2, 3, 2, 3, 3, generator=generator, dtype=torch.float64)
    g = scale * torch.randn(2, 3, 2, 3, 3, generator=generator, dtype=torch.float64)
    alpha = gradcam_plus_plus_alpha(a, g)
    assert torch.isfinite(alpha).all()
    assert (alpha[g > 0] > 0).all() and (alpha[g > 0] <= 0.5).all()


def test_small_gradients_do_not_change_alpha() -> None:
    a = torch.rand(1, 2, 2, 3, 3)
    g = torch.full_like(a, 1e-4)
    torch.testing.assert_close(
        gradcam_plus_plus_alpha(a, g), 1 / (2 + 1e-4 * a.sum((2, 3, 4), keepdim=True)).expand_as(a)
    )


def test_zero_denominators_give_zero() -> None:
    a = torch.ones(1, 1, 1, 1, 2)
    assert gradcam_plus_plus_alpha(a, torch.tensor([-1.0, 0.0]).view_as(a)).tolist() == [[[[[0.0, 0.0]]]]]


def test_gradcam_by_hand() -> None:
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 1, 1, 2)
    g = torch.tensor([[1.0, 3.0], [-1.0, 0.0]]).view(1, 2, 1, 1, 2)
    assert gradcam(a, g).flatten().tolist() == [0.5, 2.0]  # weights 2 and -0.5


@pytest.mark.slow
def test_a_pooled_linear_head_damps_positive_weights() -> None:
    torch.manual_seed(1)
    network = Pooled().double().eval()
    with captured(network, ["a"], torch.randn(1, 3, 2, 4, 4, dtype=torch.float64)) as capture:
        a, g = only(capture.activations), only(capture.gradients(capture.output[:, 0]))
    w = network.fc.weight[0].detach().clamp(min=0).view(1, -1, 1, 1, 1)
    expected = (w / (2 + w * a.mean((2, 3, 4), keepdim=True)) * a).sum(1)
    torch.testing.assert_close(gradcam_plus_plus(a, g), expected, rtol=1e-12, atol=0)


def test_the_ablation_without_the_relu_by_a_slow_loop() -> None:
    torch.manual_seed(5)
    a, g = torch.rand(2, 3, 2, 2, 3, dtype=torch.float64), torch.randn(2, 3, 2, 2, 3, dtype=torch.float64)
    expected = torch.zeros(2, 2, 2, 3, dtype=torch.float64)
    for n, k in product(range(2), range(3)):
        total = float(a[n, k].sum())
        weight = sum(float(x) * (x**2 / (2 * x**2 + x**3 * total)) for x in g[n, k].flatten().tolist())
        expected[n] += weight * a[n, k]
    assert torch.allclose(METHODS["gradcam++signed"](a, g), expected.clamp(min=0))


def test_channels_whose_sum_is_one_or_nothing_in_xgradcam() -> None:
    a = torch.tensor([[0.25, 0.75], [1.0, -1.0]]).view(1, 2, 1, 1, 2)
    g = torch.tensor([[2.0, 4.0], [5.0, 3.0]]).view(1, 2, 1, 1, 2)
    weight = 0.25 * 2 + 0.75 * 4
    assert torch.allclose(METHODS["xgradcam"](a, g).flatten(), weight * a[0, 0].flatten())


def test_saliency_tubes_of_a_gradient_that_is_a_little_uneven() -> None:
    a, g = torch.rand(1, 2, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)
    METHODS["saliency-tubes"](a, g * (1 + 1e-5 * torch.rand_like(g)))
    with pytest.raises(LayerError, match="its gradient varies within a channel"):
        METHODS["saliency-tubes"](a, g * (1 + 0.1 * torch.rand_like(g)))
    one = g.clone()
    one[0, 1, 0, 0, 0] = 2.0  # a single position of one channel
    with pytest.raises(LayerError, match="its gradient varies within a channel"):
        METHODS["saliency-tubes"](a, one)


def test_names_of_methods_and_what_they_need() -> None:
    assert method_named("gradcam") is METHODS["gradcam"]
    assert needs(METHODS["scorecam"]) == {"activation", "masked_scores"}
    with pytest.raises(SettingsError, match="there is no method 'cam'; choose one of gradcam"):
        method_named("cam")


def test_no_gradient_at_all_is_even() -> None:
    assert not saliency_tubes(torch.ones(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, 2)).any()


def test_softmax_where_the_derivatives_vanish() -> None:
    """Alpha is 0 by 0: the same gradient for all classes; a first derivative and neither a second nor a third."""
    one = torch.ones(1, 2, 1, 2, 2)
    for cumulants in ((one, 0 * one, 0 * one), (0 * one, one, -2 * one)):
        assert torch.equal(gradcam_plus_plus_softmax(one, one, cumulants), torch.zeros(1, 1, 2, 2))
