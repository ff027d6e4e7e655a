"""pytorchvideo's classifiers, built by its own hub functions, with the publisher's weights."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from vidcam.errors import ModelError
from vidcam.models.weights import State, downloaded_to
from vidcam.untrusted.text import one_line

ALPHA = 4  # SlowFast: frames of the fast pathway for one of the slow (Feichtenhofer et al. 2019, arXiv 1812.03982)

_SHELVES = {  # what a name begins with → the hub's module, where it is not called the same
    "slow": "resnet",
    "c2d": "resnet",
    "i3d": "resnet",
}


def build(name: str, classes: int) -> nn.Module:
    """Return the network of that name with random weights; its output is scores before softmax."""
    function = getattr(_shelf(name), name)
    arguments: dict[str, Any] = {"model_num_class": classes}
    if name.startswith(("x3d", "r2plus1d")):
        arguments["head_activation"] = None  # a softmax otherwise
    network: nn.Module = function(pretrained=False, **arguments)
    return network


def published(name: str) -> State:
    """Return the published weights, from torch's cache or downloaded into it.

    Raises:
        ModelError: they are not in the cache and cannot be downloaded; the message says what to fetch and where to.
    """
    url = _shelf(name).checkpoint_paths[name]
    try:
        stored = torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise downloaded_to(name, url, "PyTorchVideo", error) from error
    state: State = stored["model_state"]
    return state


def pathways(windows: Tensor) -> list[Tensor]:
    """Return the input of SlowFast from windows (N, 3, T, H, W): every ALPHA-th frame, and all frames."""
    frames = windows.shape[2]
    chosen = torch.linspace(0, frames - 1, frames // ALPHA).long()
    return [windows[:, :, chosen], windows]


def _shelf(name: str) -> Any:
    from vidcam.models.torchvision_import import import_torchvision

    import_torchvision()  # pytorchvideo imports it
    family = name.split("_")[0]
    try:
        return import_module(f"pytorchvideo.models.hub.{_SHELVES.get(family, family)}")
    except Exception as error:  # beside a newer torch it may fail with any error
        raise ModelError(
            f"{name} needs pytorchvideo, which does not import beside torch {torch.__version__} ({one_line(str(error))}); "
            "reinstall it, or take a network of another family"
        ) from error
