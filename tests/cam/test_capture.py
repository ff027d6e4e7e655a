from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.conftest import only
from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.methods import gradcam_plus_plus, gradcam_plus_plus_in_time
from vidcam.errors import LayerError


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1),
        nn.BatchNorm3d(4),
        nn.ReLU(inplace=True),
        nn.Conv3d(4, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    ).eval()


def _by_plain_autograd(network: nn.Sequential, layer: int, x: Tensor, target: int) -> tuple[Tensor, Tensor]:
    activation = network[: layer + 1](x).detach().clone().requires_grad_(True)
    score = network[layer + 1 :](activation.clone())[:, target].sum()
    return activation.detach(), torch.autograd.grad(score, activation)[0]


@pytest.mark.parametrize("layer", [0, 1, 2, 3, 4])
def test_activation_and_gradient_are_those_of_plain_autograd(layer: int) -> None:
    network, x = _network(), torch.randn(2, 3, 4, 6, 6)
    expected = _by_plain_autograd(network, layer, x, 1)
    with captured(network, [str(layer)], x) as capture:
        torch.testing.assert_close(only(capture.activations), expected[0])
        torch.testing.assert_close(only(capture.gradients(capture.output[:, 1])), expected[1])
        torch.testing.assert_close(capture.output.detach(), network(x).detach())


def test_the_trunk_records_no_graph_and_parameters_get_no_gradient() -> None:
    network, x = _network(), torch.randn(1, 3, 4, 6, 6)
    seen: list[bool] = []
    network[1].register_forward_hook(lambda m, i, o: seen.append(o.requires_grad))
    with captured(network, ["3"], x) as capture:
        only(capture.gradients(capture.output[:, 0]))
    assert seen == [False]
    assert all(p.grad is None for p in network.parameters())


def test_its_tensors_are_freed_with_it() -> None:
    network, x = _network(), torch.randn(1, 3, 4, 6, 6)
    gc.disable()  # what refers to itself stays until Python looks for it
    try:
        with captured(network, ["3"], x) as capture:
            output = weakref.ref(capture.output)
            only(capture.gradients(capture.output[:, 0]))
        del capture
        assert output() is None
    finally:
        gc.enable()


def test_several_classes_from_one_pass() -> None:
    network, x = _network(), torch.randn(1, 3, 4, 6, 6)
    with captured(network, ["3"], x) as capture:
        gradients = [only(capture.gradients(capture.output[:, c])) for c in range(3)]
    for c, gradient in enumerate(gradients):
        torch.testing.assert_close(gradient, _by_plain_autograd(network, 3, x, c)[1])


class Shared(nn.Module):
    """One rectifier called twice, the second time on the way to the score."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x) + x)
        return self.fc(x.mean((2, 3, 4)))


def test_calls_of_a_module_that_are_no_steps_in_time_are_refused() -> None:
    told = r"'relu' is called 2 times in one pass, and gives \(N, C, T, H, W\) of \(1, 4, 4, 6, 6\); .*the 4 frames; choose"
    with pytest.raises(LayerError, match=told), captured(Shared().eval(), ["relu"], torch.randn(1, 3, 4, 6, 6)):
        pass


def test_channels_last_and_half_precision_give_the_same_map() -> None:
    network, x = _network(), torch.randn(1, 3, 4, 8, 8)

    def heat(n: nn.Module, v: Tensor) -> Tensor:
        with captured(n, ["4"], v) as capture:
            return gradcam_plus_plus(
                only(capture.activations).float(), only(capture.gradients(capture.output[:, 0])).float()
            )

    expected = heat(network, x)
    assert expected.max() > 0
    torch.testing.assert_close(heat(network, x.contiguous(memory_format=torch.channels_last_3d)), expected)
    half = heat(network.to(torch.bfloat16), x.bfloat16())
    assert torch.corrcoef(torch.stack([half.flatten(), expected.flatten()]))[0, 1] > 0.99


def test_nothing_is_left_behind_by_an_exception() -> None:
    network = _network()
    with pytest.raises(ZeroDivisionError), captured(network, ["3"], torch.randn(1, 3, 4, 6, 6)):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError), captured(network, ["3"], torch.randn(1, 9, 4, 6, 6)):
        pass
    assert not any(m._forward_hooks for m in network.modules())
    assert torch.is_grad_enabled()


def test_wrong_layers_say_what_to_choose() -> None:
    network, x = _network(), torch.randn(1, 3, 4, 6, 6)
    with (
        pytest.raises(LayerError, match="there is no layer 'conv9'; its convolutions are 0, 3"),
        captured(network, ["conv9"], x),
    ):
        pass
    with pytest.raises(LayerError, match=r"gives a tensor of shape \(1, 3\)"), captured(network, ["7"], x):
        pass


def test_a_score_that_does_not_depend_on_the_layer() -> None:
    network = _network()
    with (
        captured(network, ["3"], torch.randn(1, 3, 4, 6, 6)) as capture,
        pytest.raises(LayerError, match="does not depend"),
    ):
        only(capture.gradients(torch.ones(1)))


class TwoPathways(nn.Module):
    """Two branches that meet in the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(3, 2, 3, padding=1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: list[Tensor]) -> Tensor:
        return self.fc(torch.cat([self.slow(x[0]).relu().mean((2, 3, 4)), self.fast(x[1]).relu().mean((2, 3, 4))], 1))


def test_several_layers_side_by_side_and_one_behind_the_other() -> None:
    torch.manual_seed(0)
    network, x = TwoPathways().eval(), torch.randn(2, 3, 4, 6, 6)
    with captured(network, ["slow", "fast"], x, pack=lambda x: [x[:, :, ::2], x]) as capture:
        gradients = capture.gradients(capture.output[:, 1])
    slow = network.slow(x[:, :, ::2]).detach()
    expected = (network.fc.weight[1, :4].detach() / 72).view(1, 4, 1, 1, 1) * (slow > 0)
    torch.testing.assert_close(gradients["slow"], expected)
    assert gradients["fast"].shape == (2, 2, 4, 6, 6)

    chain, x = _network(), torch.randn(2, 3, 4, 6, 6)
    with captured(chain, ["2", "4"], x) as capture:
        gradients, activations = capture.gradients(capture.output[:, 1]), capture.activations
    for layer in (2, 4):
        activation, gradient = _by_plain_autograd(chain, layer, x, 1)
        torch.testing.assert_close(activations[str(layer)], activation)
        torch.testing.assert_close(gradients[str(layer)], gradient)


def test_a_score_of_one_pathway_alone() -> None:
    with captured(TwoPathways().eval(), ["slow", "fast"], torch.randn(1, 3, 2, 4, 4), pack=lambda x: [x, x]) as capture:
        slow = capture._kept["slow"][0][0]
        with pytest.raises(LayerError, match="the score does not depend on layer 'fast'"):
            capture.gradients(slow.sum((1, 2, 3, 4)))


def test_masks_of_a_coarse_layer_are_interpolated() -> None:
    torch.manual_seed(8)
    network = nn.Sequential(nn.AvgPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    x = torch.rand(1, 3, 4, 6, 6)
    with captured(network, ["0"], x) as capture:
        found = capture.masked_scores("0", lambda output: output[:, 2])
    for k in range(3):
        coarse = nn.functional.avg_pool3d(x[:, k : k + 1], 2)
        mask = nn.functional.interpolate(coarse, size=(4, 6, 6), mode="trilinear", align_corners=False)
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        torch.testing.assert_close(found[0, k], (x * mask)[0, 2].mean())


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3, 4)).tanh())


def test_cumulants_of_each_window_by_a_loop() -> None:
    torch.manual_seed(6)
    network, x = TwoOutputs().double().eval(), torch.rand(2, 3, 2, 2, 2, dtype=torch.float64)
    with captured(network, ["conv"], x) as capture:
        found = [c.clone() for c in capture.cumulants("conv")]
    for n in range(2):
        activation = network.conv(x[n : n + 1]).detach().requires_grad_(True)
        scores = network.fc(activation.mean((2, 3, 4)).tanh())
        p = scores.softmax(1).detach()[0]
        g = torch.stack([torch.autograd.grad(scores[0, k], activation, retain_graph=True)[0][0] for k in range(3)])
        mean = sum(p[k] * g[k] for k in range(3))
        for power, kappa in ((2, found[1]), (3, found[2])):
            assert torch.allclose(kappa[n], sum(p[k] * (g[k] - mean) ** power for k in range(3)), atol=1e-12)
        assert torch.allclose(found[0][n], mean)


def test_masks_are_scaled_from_the_least_to_the_largest_and_the_layer_is_watched_again() -> None:
    torch.manual_seed(7)
    network, x = TwoOutputs().eval(), torch.rand(2, 3, 2, 4, 4)
    with torch.no_grad():
        network.conv.weight.abs_().mul_(0.2)[1] = 0  # a channel that is the same everywhere shows nothing
        network.conv.bias.fill_(0.3)  # and none reaches 0

    def score(output: Tensor) -> Tensor:
        return output[:, 1]

    with captured(network, ["conv"], x) as capture:
        kept = capture.activations["conv"].clone()
        found = capture.masked_scores("conv", score)
        assert torch.equal(capture.activations["conv"], kept) and capture._watching
    for k in range(4):
        a = kept[:, k : k + 1]
        low, high = a.amin((1, 2, 3, 4), True), a.amax((1, 2, 3, 4), True)
        mask = (a - low) / (high - low) if k != 1 else torch.zeros_like(a)
        assert torch.allclose(found[:, k], score(network(x * mask)).detach(), atol=1e-5), k


def test_names_near_a_layer_that_is_none() -> None:
    told = r"there is no layer 'konv'; nearest: conv; its convolutions are conv$"
    with pytest.raises(LayerError, match=told), captured(TwoOutputs().eval(), ["konv"], torch.rand(1, 3, 2, 2, 2)):
        pass


class FrameByFrame(nn.Module):
    """A CNN run on each frame in turn, and a recurrent head that reads its features; the score sees one frame alone."""

    def __init__(self, seen: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        steps = [self.conv(frame).relu().mean((2, 3)) for frame in x.unbind(2)]
        if self.seen is not None:
            return self.fc(self.gru(steps[self.seen][:, None])[0][:, 0])
        return self.fc(self.gru(torch.stack(steps, 1))[0][:, -1])


def test_calls_for_each_frame_are_stacked_over_time() -> None:
    torch.manual_seed(3)
    network, x = FrameByFrame().double().eval(), torch.randn(2, 3, 5, 6, 6, dtype=torch.float64)
    leaves = [network.conv(frame).detach().requires_grad_(True) for frame in x.unbind(2)]
    features = torch.stack([leaf.relu().mean((2, 3)) for leaf in leaves], 1)
    score = network.fc(network.gru(features)[0][:, -1])[:, 1].sum()
    expected = torch.stack(torch.autograd.grad(score, leaves), 2)
    with captured(network, ["conv"], x) as capture:
        assert torch.equal(capture.activations["conv"], torch.stack([leaf.detach() for leaf in leaves], 2))
        torch.testing.assert_close(capture.gradients(capture.output[:, 1])["conv"], expected)
    assert (expected.abs().sum((1, 3, 4)) > 0).all()


@pytest.mark.parametrize("seen", [0, 3, 7])
def test_only_the_frame_that_the_score_reads_has_heat(seen: int) -> None:
    torch.manual_seed(4)
    network = FrameByFrame(seen).eval()
    with captured(network, ["conv"], torch.rand(2, 3, 8, 6, 6)) as capture:
        score = capture.output[:, 0] * torch.sign(capture.gradients(capture.output[:, 0])["conv"].sum((1, 2, 3, 4)))
        heat = gradcam_plus_plus_in_time(capture.activations["conv"], capture.gradients(score)["conv"])
    mass = heat.sum((2, 3))
    assert mass.shape == (2, 8) and (mass[:, seen] > 0.9 * mass.sum(1)).all() and (mass.sum(1) > 0).all()


class Recurrent(nn.Module):
    """A convolution that is applied again to its own state: each call depends on those before."""

    def __init__(self, again: int = 1) -> None:
        super().__init__()
        self.cell, self.again = nn.Conv2d(5, 2, 3, padding=1), again

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 2, *x.shape[3:], dtype=x.dtype)
        for frame in x[:, :, : x.shape[2] // self.again].unbind(2):
            state = self.cell(torch.cat([frame, state], 1)).tanh()
        return state.mean((2, 3))


def test_steps_of_a_recurrence_have_their_whole_gradient() -> None:
    torch.manual_seed(5)
    network, x = Recurrent().double().eval(), torch.randn(1, 3, 4, 5, 5, dtype=torch.float64)
    outputs: list[Tensor] = []
    handle = network.cell.register_forward_hook(lambda m, i, o: outputs.append(o))
    score = network(x)[:, 1].sum()
    handle.remove()
    expected = torch.stack(torch.autograd.grad(score, outputs), 2)
    with captured(network, ["cell"], x) as capture:
        torch.testing.assert_close(capture.gradients(capture.output[:, 1])["cell"], expected)
    with pytest.raises(LayerError, match="called 2 times"), captured(Recurrent(2).double(), ["cell"], x):
        pass


class Siamese(nn.Module):
    """One layer called on two halves of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.cat([self.conv(half).relu().mean((2, 3, 4)) for half in x.chunk(2, 2)], 1))


def test_a_siamese_layer_over_time_is_refused() -> None:
    told = r"'conv' is called 2 times in one pass, .*choose a layer that is called once"
    with pytest.raises(LayerError, match=told), captured(Siamese().eval(), ["conv"], torch.rand(1, 3, 4, 5, 5)):
        pass


def test_parameters_take_gradients_again_after_it_and_no_other() -> None:
    network = _network()
    network[0].weight.requires_grad_(False)
    seen: list[bool] = []
    network[5].register_forward_hook(lambda m, i, o: seen.append(network[3].weight.requires_grad))
    with captured(network, ["3"], torch.randn(1, 3, 4, 6, 6)):
        assert seen == [False]
    assert [p.requires_grad for p in network[0].parameters()] == [False, True]
    assert all(p.requires_grad for p in network[3].parameters())


class ChangedInPlace(nn.Module):
    """Changes the target layer's input, which is its output too, and the layer's output, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.fc = nn.Conv3d(3, 4, 3, padding=1), nn.Dropout(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.drop(x)
        x += 5
        y *= 2
        return self.fc(y.mean((2, 3, 4)))


def test_what_is_changed_in_place_after_the_layer_is_captured_as_it_was() -> None:
    torch.manual_seed(6)
    network, x = ChangedInPlace().eval(), torch.randn(1, 3, 4, 6, 6)
    with captured(network, ["drop"], x) as capture:
        torch.testing.assert_close(capture.activations["drop"], network.conv(x).detach())
        gradient = capture.gradients(capture.output[:, 1])["drop"]
    torch.testing.assert_close(gradient, (network.fc.weight[1].detach() / 72).view(1, 4, 1, 1, 1).expand_as(gradient))


class InferenceOnly(nn.Module):
    """Adds a shortcut in place to what autograd keeps, as networks do that are only run."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.conv, self.fc, self.in_place = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 2), in_place

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = x.sigmoid()
        y = y.add_(x).relu().mul_(2) if self.in_place else (y + x).relu() * 2
        return self.fc(y.mean((2, 3, 4)))


def test_a_head_that_works_in_place_has_the_gradients_of_one_that_does_not() -> None:
    torch.manual_seed(6)
    network, x = InferenceOnly(True).double().eval(), torch.randn(1, 3, 4, 6, 6, dtype=torch.float64)
    other = InferenceOnly(False).double().eval()
    other.load_state_dict(network.state_dict())
    maps = []
    for each in (network, other):
        with captured(each, ["conv"], x) as capture:
            for _ in range(2):  # the second time without an error
                maps.append(class_activation_maps(capture, lambda scores: scores[:, 1], ["gradcam"])["gradcam", "conv"])
    assert all(torch.equal(heat, maps[-1]) for heat in maps) and maps[0].std() > 0
    with captured(network, ["conv"], x) as capture:  # after a method at the input
        capture.scored(lambda scores: scores[:, 1])(x)
        found = class_activation_maps(capture, lambda scores: scores[:, 1], ["gradcam"])["gradcam", "conv"]
    assert torch.equal(found, maps[0])
    with (
        captured(network, ["conv"], x) as capture,
        pytest.raises(LayerError, match="changes in place what its gradient"),
    ):
        capture.gradients(capture.output[:, 1])


class Checkpointed(nn.Module):
    """Computes a part again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.fc, self.reentrant = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 2), reentrant
        self.part = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.Sigmoid(), nn.Conv3d(4, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.part, self.first(x), use_reentrant=self.reentrant)
        return self.fc(x.mean((2, 3, 4)))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("layers", [["first"], ["part.0"], ["first", "part.0", "part.2"]])
def test_activation_checkpointing(layers: list[str]) -> None:
    torch.manual_seed(7)
    network, x = Checkpointed(reentrant=False).double().eval(), torch.randn(1, 3, 4, 6, 6, dtype=torch.float64)
    first = network.first(x)
    middle = network.part[0](first)
    last = network.part[2](network.part[1](middle))
    tensors = {"first": first, "part.0": middle, "part.2": last}
    score = network.fc(last.mean((2, 3, 4)))[:, 1].sum()
    expected = torch.autograd.grad(score, [tensors[layer] for layer in layers])
    with captured(network, layers, x) as capture:
        for _ in range(2):
            found = capture.gradients(capture.output[:, 1])
            for layer, gradient in zip(layers, expected):
                torch.testing.assert_close(found[layer], gradient)
    reentrant = Checkpointed(reentrant=True).eval()
    with (
        captured(reentrant, layers, x.float()) as capture,
        pytest.raises(LayerError, match="switch activation checkpoint"),
    ):
        capture.gradients(capture.output[:, 1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_modules_of_the_head_alone_run_without_cudnn(
    kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN computes no gradient of them in evaluation mode; the decision is that of every device."""
    network = FrameByFrame().eval()
    network.before, network.gru = kind(3, 3, batch_first=True), kind(4, 5, batch_first=True)  # type: ignore[operator]
    seen: dict[str, bool] = {}

    def note(name: str) -> None:
        forward = getattr(network, name).forward

        def noted(*inputs: Any) -> Any:
            seen[name] = torch.backends.cudnn.enabled
            return forward(*inputs)

        monkeypatch.setattr(getattr(network, name), "forward", noted)

    for name in ("before", "conv", "gru", "fc"):
        note(name)
    network.register_forward_pre_hook(lambda m, inputs: m.before(inputs[0].mean((3, 4)).transpose(1, 2)) and None)
    with captured(network, ["conv"], torch.rand(1, 3, 4, 6, 6)) as capture:
        assert capture.gradients(capture.output[:, 1])["conv"].abs().sum() > 0
        assert torch.backends.cudnn.enabled
    assert seen == {"before": True, "conv": True, "gru": False, "fc": True}
    assert not network.gru._forward_hooks and not network.gru._forward_pre_hooks
    monkeypatch.setattr(network.gru, "forward", lambda *inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError), captured(network, ["conv"], torch.rand(1, 3, 4, 6, 6)):
        pass
    assert torch.backends.cudnn.enabled
