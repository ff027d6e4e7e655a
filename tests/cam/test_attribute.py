from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.capture import captured
from vidcam.cam.layout import Layout
from vidcam.cam.methods import METHODS
from vidcam.errors import LayerError, SettingsError, TargetError


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

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        activation = self.turned(self.body(x["windows"]).movedim(1, -1))
        return self.fc(activation.movedim(-1, 1).flatten(1)) * 10


def test_networks_with_another_input_and_another_layout(windows: Tensor) -> None:
    found = class_activation_map(
        LastChannels().eval(),
        windows,
        layer="turned",
        target=1,
        layout=Layout("n t h w c"),
        pack=lambda windows: {"windows": windows},
    )
    torch.testing.assert_close(found, class_activation_map(Small().eval(), windows, layer="body", target=1))
