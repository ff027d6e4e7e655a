from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from einops import rearrange
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map, class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.input_methods import INPUT_METHODS
from vidcam.cam.layout import Layout
from vidcam.cam.methods import METHODS
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv3d(3, 5, 3, stride=(1, 2, 2), padding=1), nn.ReLU())
        self.fc = nn.Linear(5 * 4 * 3 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).flatten(1)) * 10


@pytest.fixture
def windows() -> Tensor:
    torch.manual_seed(2)
    return torch.rand(2, 3, 4, 6, 8)


def _upsampled(heat: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Trilinear, by scipy: the centres of the finer grid in units of the coarser one's, clamped at the border."""
    axes = [np.clip((np.arange(n) + 0.5) * h / n - 0.5, 0, h - 1) for n, h in zip(size, heat.shape)]
    return map_coordinates(heat, np.meshgrid(*axes, indexing="ij"), order=1)


def _by_autograd(network: Small, windows: Tensor, target: Callable[[Tensor], Tensor], method: str) -> np.ndarray:
    activation = network.body(windows).detach().requires_grad_(True)
    scores = target(network.fc(activation.flatten(1)) * 10)
    (gradient,) = torch.autograd.grad(scores.sum(), activation)
    maps = METHODS[method](activation.detach(), gradient).numpy()
    return np.stack([_upsampled(heat, tuple(windows.shape[2:])) for heat in maps])


@pytest.mark.parametrize("method", ["gradcam++", "gradcam", "layercam"])
def test_a_map_is_that_of_plain_autograd_on_the_windows_grid(windows: Tensor, method: str) -> None:
    network = Small().eval()
    for given, meant in (
        (1, lambda scores: scores[:, 1]),
        (None, lambda scores: scores.max(1).values),
        (lambda scores: scores[:, 0] - scores[:, 2], lambda scores: scores[:, 0] - scores[:, 2]),
    ):
        found = class_activation_map(network, windows, layer="body", target=given, method=method)
        expected = _by_autograd(network, windows, meant, method)
        assert found.shape == (2, 4, 6, 8) and found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5 * expected.max())
        assert expected.max() > 0


def test_it_leaves_the_network_as_it_was(windows: Tensor) -> None:
    network = Small().eval()
    before = network(windows)
    class_activation_map(network, windows, layer="body", target=0)
    assert torch.equal(network(windows), before)
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not network.body._forward_hooks and not network._forward_pre_hooks


@pytest.mark.parametrize("target", [3, -1])
def test_classes_that_are_none(windows: Tensor, target: int) -> None:
    with pytest.raises(TargetError, match=rf"class index {target} is out of range; the network has 3 classes"):
        class_activation_map(Small().eval(), windows, layer="body", target=target)


@pytest.mark.parametrize(
    ("target", "told"),
    [(lambda scores: scores, r"\(2, 3\) for 2 windows"), (lambda scores: 1.0, "float for 2 windows")],
)
def test_functions_that_give_no_score_for_each_window(
    windows: Tensor, target: Callable[..., object], told: str
) -> None:
    with pytest.raises(TargetError, match=rf"gives {told}; it must give one score each, \(N,\)"):
        class_activation_map(Small().eval(), windows, layer="body", target=target)  # type: ignore[arg-type]


def test_names_that_are_none(windows: Tensor) -> None:
    with pytest.raises(SettingsError, match="there is no method 'cam'"):
        class_activation_map(Small().eval(), windows, layer="body", target=0, method="cam")
    with pytest.raises(SettingsError, match=r"there is no method 'cam'.* rise"):  # those at the input, too
        class_activation_map(Small().eval(), windows, target=0, method="cam")
    with pytest.raises(LayerError, match="tail"):
        class_activation_map(Small().eval(), windows, layer="tail", target=0)


@pytest.mark.parametrize("method", ["gradcam++softmax", "scorecam"])
def test_methods_that_need_more_than_a_gradient(windows: Tensor, method: str) -> None:
    network = Small().eval()

    def score(scores: Tensor) -> Tensor:
        return scores[:, 1]

    with captured(network, ["body"], windows) as capture:
        activation = capture.activations["body"]
        if method == "scorecam":
            heat = METHODS[method](activation, capture.masked_scores("body", score))
        else:
            gradient = capture.gradients(score(capture.output))["body"]
            heat = METHODS[method](activation, gradient, capture.cumulants("body"))
    found = class_activation_map(network, windows, layer="body", target=1, method=method)
    expected = np.stack([_upsampled(h, tuple(windows.shape[2:])) for h in heat.detach().numpy()])
    assert expected.max() > 0
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5 * expected.max())


class LastChannels(Small):
    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Identity()

    def forward(self, *, frames: Tensor) -> Tensor:  # type: ignore[override]
        activation = self.turned(self.body(frames).movedim(1, -1))
        return self.fc(activation.movedim(-1, 1).flatten(1)) * 10


def test_networks_with_another_input_and_another_layout(windows: Tensor) -> None:
    found = class_activation_map(
        LastChannels().eval(),
        windows,
        layer="turned",
        target=1,
        layout=Layout("n t h w c"),
        pack=lambda windows: {"frames": windows},
    )
    torch.testing.assert_close(found, class_activation_map(Small().eval(), windows, layer="body", target=1))


def _positive(network: nn.Module) -> nn.Module:
    """The network with positive weights, so that every position it sees speaks for the class."""
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1)
    return network.eval()


class FramesInTheBatch(nn.Module):
    """A 2D network on every frame, each a row of the batch; the score is that of one frame, or of all."""

    def __init__(self, seen: int | None) -> None:
        super().__init__()
        self.conv, self.fc, self.seen = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3), seen

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, _, _ = x.shape
        scores = self.fc(self.conv(x.transpose(1, 2).flatten(0, 1)).relu().mean((2, 3)))
        return scores if self.seen is None else scores.view(n, t, 3)[:, self.seen]


@pytest.mark.parametrize("seen", [0, 2, 3])
def test_frames_in_the_batch_have_their_own_time(windows: Tensor, seen: int) -> None:
    torch.manual_seed(3)
    network = _positive(FramesInTheBatch(seen))
    heat = class_activation_map(
        network, windows, layer="conv", target=0, method="gradcam++t", layout=Layout("(n t) c h w")
    ).sum((2, 3))
    assert heat.shape == (2, 4) and (heat[:, seen] >= 0.9 * heat.sum(1)).all() and (heat.sum(1) > 0).all()


def test_frames_in_the_batch_are_refused_without_their_layout(windows: Tensor) -> None:
    network = FramesInTheBatch(0).eval()
    with pytest.raises(LayerError, match=r"'n c h w' wants 2 in place of 8; .*give the layout '\(n t\) c h w'"):
        class_activation_map(network, windows, layer="conv", target=0)
    with pytest.raises(TargetError, match="scores of 8 rows for 2 windows; wrap it so that it gives one row for each"):
        class_activation_map(
            FramesInTheBatch(None).eval(), windows, layer="conv", target=0, layout=Layout("(n t) c h w")
        )


class Tokens(nn.Module):
    """Patches of a frame by themselves, in an order; the score reads the tokens of one time and place."""

    def __init__(self, pattern: str, place: tuple[int, int, int], others: int) -> None:
        super().__init__()
        self.patch, self.block, self.fc = nn.Conv3d(3, 6, 2, 2), nn.Linear(6, 6), nn.Linear(6, 3)
        self.pattern, self.place, self.others = pattern, place, others

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x)
        _, _, t, h, w = patches.shape
        tokens = rearrange(patches, f"n c t h w -> {self.pattern}")
        tokens = self.fc(self.block(torch.cat([tokens[:, : self.others], tokens], 1)).relu())
        rest = rearrange(tokens[:, self.others :], f"{self.pattern} -> n c t h w", t=t, h=h, w=w, n=len(x))
        i, j, k = self.place
        return rest[:, :, i, j, k]


@pytest.mark.parametrize("pattern", ["n (t h w) c", "n (h w t) c", "(n t) (h w) c"])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 1), (1, 0, 3)])
@pytest.mark.parametrize("others", [0, 1])
def test_the_token_that_the_score_reads_has_the_heat(
    windows: Tensor, pattern: str, place: tuple[int, int, int], others: int
) -> None:
    torch.manual_seed(5)
    network, layout = _positive(Tokens(pattern, place, others)), Layout(pattern, (2, 3, 4))

    with captured(network, ["block"], windows, layout=layout) as capture:
        heat = class_activation_maps(capture, lambda scores: scores[:, 1], ["hirescam"])["hirescam", "block"]
    assert heat.shape == (2, 2, 3, 4)
    assert (heat[(slice(None), *place)] >= 0.9 * heat.sum((1, 2, 3))).all() and (heat.sum((1, 2, 3)) > 0).all()


class Deviation(nn.Module):
    """Scores the deviation of each channel, one of which is constant: the derivative of sqrt at 0 is not finite."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Conv3d(3, 5, 3, padding=1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.body(x) * torch.tensor([1.0, 1, 1, 1, 0]).view(-1, 1, 1, 1)
        return self.fc(seen.flatten(2).var(2, unbiased=False).sqrt())


@pytest.mark.parametrize(
    "method", ["gradcam", "gradcam++", "layercam", "integrated-gradients", "smoothgrad", "extremal"]
)
def test_a_gradient_that_is_not_finite_is_refused(windows: Tensor, method: str) -> None:
    at_input = method in INPUT_METHODS
    with pytest.raises(ModelError, match="not finite"):
        class_activation_map(Deviation(), windows, layer=None if at_input else "body", target=0, method=method)


def test_a_method_without_gradients_explains_a_network_whose_gradient_is_not_finite(windows: Tensor) -> None:
    found = class_activation_map(Deviation(), windows, layer="body", target=0, method="scorecam")
    assert found.isfinite().all() and found.any()


class Change(Small):
    """Scores the change between frames as a share of all of it, which is not a number for a window that stands still."""

    def forward(self, x: Tensor) -> Tensor:
        change = x - x.roll(1, 2)
        return super().forward(change / change.abs().mean((1, 2, 3, 4), keepdim=True))


@pytest.mark.parametrize("method", ["shapley", "extremal", "integrated-gradients"])
def test_scores_that_are_not_finite_where_parts_are_hidden_are_refused(windows: Tensor, method: str) -> None:
    with pytest.raises(ModelError, match=r"not finite .* hide parts by something else"):
        class_activation_map(Change(), windows, layer=None, target=0, method=method)
