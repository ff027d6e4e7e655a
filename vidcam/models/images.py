"""torchvision's image classifiers, which explain an image, or a clip frame by frame."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from vidcam.cam.layout import Layout

_LAYERS = {  # what a name begins with → the last layer with a grid
    "alexnet": "features",
    "convnext": "features",
    "densenet": "features",
    "efficientnet": "features",
    "googlenet": "inception5b",
    "mnasnet": "layers",
    "mobilenet": "features",
    "regnet": "trunk_output",
    "resnet": "layer4",
    "resnext": "layer4",
    "shufflenet": "conv5",
    "squeezenet": "features",
    "swin": "norm",
    "vgg": "features",
    "wide_resnet": "layer4",
}


def names() -> list[str]:
    """Return the names of the image classifiers whose last layer with a grid is known."""
    from vidcam.models.torchvision_import import import_torchvision

    import_torchvision()
    import torchvision.models as zoo

    listed: list[str] = zoo.list_models(module=zoo)
    return [name for name in listed if default_layer(name)]


def default_layer(name: str) -> str | None:
    """Return the target layer of a classifier by its family, or None if the family is not known."""
    family = max((f for f in _LAYERS if name.startswith(f)), key=len, default=None)
    return _LAYERS[family] if family else None


def layout(name: str) -> Layout:
    """Return the order of axes in the outputs of a classifier's layers."""
    return Layout("n h w c" if name.startswith("swin") else None)


def one_frame(windows: Tensor) -> Tensor:
    """Return the input of an image classifier, (N, 3, H, W), from windows of one frame, (N, 3, 1, H, W)."""
    return rearrange(windows, "n c 1 h w -> n c h w")
