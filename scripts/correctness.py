"""Whose Grad-CAM++ is right over time and space? `python scripts/correctness.py`; libraries that are not installed are left out.

The map of a small 3D network by the paper's definition, with the true second and third derivatives of exp(S) by automatic
differentiation in float64, against the map each library gives: Pearson's correlation, for heads of several steepnesses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from vidcam import class_activation_map
from vidcam.models.torchvision_import import import_torchvision

WINDOW, CLASSES, TARGET = (4, 5, 5), 4, 2


class Net(nn.Module):
    """A convolution, and a head that is linear in it with a weight for every place."""

    def __init__(self, steepness: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(6 * int(np.prod(WINDOW)), CLASSES)
        with torch.no_grad():
            self.fc.weight.mul_(steepness)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        """Scores of a window."""
        return self.fc(self.conv(x).flatten(1))


def by_definition(net: Net, window: Tensor) -> np.ndarray:
    """Eqs. 5 and 10 of arXiv 1710.11063, over all places of a channel, a derivative at a time."""
    activation = net.conv(window).detach()[0]
    flat, total = activation.flatten(), activation.sum((1, 2, 3))
    weights = torch.zeros(len(activation), dtype=torch.float64)
    for i in range(len(flat)):
        one = flat[i].clone().requires_grad_(True)
        scores = net.fc(torch.cat([flat[:i], one[None], flat[i + 1 :]])[None])
        first = torch.autograd.grad(scores[0, TARGET].exp(), one, create_graph=True)[0]
        second = torch.autograd.grad(first, one, create_graph=True)[0]
        third = torch.autograd.grad(second, one)[0]
        channel = i // int(np.prod(WINDOW))
        below = 2 * second + total[channel] * third
        if below != 0:
            weights[channel] += (second / below * first.relu()).detach()
    return (weights[:, None, None, None] * activation).sum(0).relu().numpy()


def ours(net: Net, window: Tensor) -> np.ndarray:
    """vidcam."""
    return class_activation_map(net, window, layer="conv", target=TARGET)[0].numpy()


def pytorch_grad_cam(net: Net, window: Tensor) -> np.ndarray:
    """pytorch-grad-cam."""
    from pytorch_grad_cam import GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAMPlusPlus(model=net, target_layers=[net.conv]) as cam:
        return np.asarray(cam(input_tensor=window, targets=[ClassifierOutputTarget(TARGET)])[0])


def torchcam(net: Net, window: Tensor) -> np.ndarray:
    """torchcam."""
    from torchcam.methods import GradCAMpp

    with GradCAMpp(net, target_layer="conv", input_shape=(3, *WINDOW)) as cam:
        return cam(TARGET, net(window.requires_grad_(True)), normalized=False)[0].detach().numpy()[0]


def main() -> None:
    """A line for each library."""
    torch.manual_seed(0)
    window = torch.randn(1, 3, *WINDOW, dtype=torch.float64)
    libraries: list[Callable[[Net, Tensor], np.ndarray]] = [ours, pytorch_grad_cam, torchcam]
    for library in libraries:
        found = []
        try:
            for steepness in (1, 5, 30):
                net = Net(steepness)
                found.append(
                    np.corrcoef(by_definition(net, window).ravel(), library(net, window.clone()).ravel())[0, 1]
                )
        except ImportError as error:
            print(f"{library.__doc__:<20} {error.name} is not installed")
            continue
        print(f"{library.__doc__:<20}", "  ".join(f"{c:.6f}" for c in found))


if __name__ == "__main__":
    import_torchvision()  # pytorch-grad-cam imports it
    main()
