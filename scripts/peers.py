"""Compare what other tools give for a clip: `python scripts/peers.py`; those that are not installed, or fail, say so.

For each tool, on a small 3D network whose score is linear in its layer:

- map: the shape of the map of one window of 8 frames of 24x24 pixels, as the tool returns it.
- scale: the peak of the map of a window with a tenth of the brightness, over the peak of the whole window's map. It is 0.1
  where maps of several windows have one scale, and 1 where each has its own.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from vidcam import class_activation_map
from vidcam.models.torchvision_import import import_torchvision

WINDOW, CLASSES, TARGET = (8, 24, 24), 4, 2


class Net(nn.Module):
    """A convolution without a bias, whose mean is weighted for each class."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(3, 6, 3, padding=1, bias=False)
        self.fc = nn.Linear(6, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        return self.fc(self.conv(x).relu().mean((2, 3, 4)))


def ours(net: Net, window: Tensor) -> np.ndarray:
    """vidcam."""
    return class_activation_map(net, window, layer="conv", target=TARGET, method="gradcam")[0].numpy()


def pytorch_grad_cam(net: Net, window: Tensor) -> np.ndarray:
    """pytorch-grad-cam."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=net, target_layers=[net.conv]) as cam:
        return np.asarray(cam(input_tensor=window, targets=[ClassifierOutputTarget(TARGET)])[0])


def torchcam(net: Net, window: Tensor) -> np.ndarray:
    """torchcam."""
    from torchcam.methods import GradCAM

    with GradCAM(net, target_layer="conv", input_shape=(3, *WINDOW)) as cam:
        return cam(TARGET, net(window.requires_grad_(True)))[0].detach().numpy()[0]


def captum(net: Net, window: Tensor) -> np.ndarray:
    """captum."""
    from captum.attr import LayerGradCam

    return LayerGradCam(net, net.conv).attribute(window, TARGET, relu_attributions=True)[0, 0].detach().numpy()


def signal_grad_cam(net: Net, window: Tensor) -> np.ndarray:
    """signal-grad-cam."""
    from signal_grad_cam import TorchCamBuilder

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        builder = TorchCamBuilder(net, class_names=[str(k) for k in range(CLASSES)], time_axs=1)
        maps, *_ = builder.get_cam([window[0]], [TARGET], TARGET, "Grad-CAM", "conv", False, results_dir_path=folder)
    return np.asarray(next(iter(maps.values()))[0], float)


def mmaction2(net: Net, window: Tensor) -> np.ndarray:
    """mmaction2."""
    from mmaction.utils import GradCAM

    GradCAM(net, "conv")  # imports the recognizers, the only networks it takes
    raise AssertionError("it took a network that is no recognizer")


def main() -> None:
    """Print a line for each tool."""
    torch.manual_seed(0)
    window = torch.rand(1, 3, *WINDOW)
    tools: list[Callable[[Net, Tensor], np.ndarray]] = [
        ours,
        pytorch_grad_cam,
        torchcam,
        captum,
        signal_grad_cam,
        mmaction2,
    ]
    for tool in tools:
        net = Net().eval()
        try:
            whole, faint = (tool(net, given.clone()) for given in (window, window / 10))
            print(f"{tool.__doc__:<20} map {whole.shape}, scale {faint.max() / whole.max():.2f}", flush=True)
        except Exception as error:
            print(f"{tool.__doc__:<20} {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    import_torchvision()
    main()
