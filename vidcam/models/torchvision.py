"""torchvision's video classifiers: the networks, the publisher's weights and labels."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.torchvision_import import import_torchvision
from vidcam.models.weights import State


def build(name: str, classes: int) -> nn.Module:
    """The network of that name with random weights."""
    import_torchvision()
    from torchvision.models import get_model

    network: nn.Module = get_model(name, weights=None, num_classes=classes)
    return network


def labels(name: str) -> tuple[str, ...]:
    """The class labels of the published weights (Kinetics-400)."""
    import_torchvision()
    from torchvision.models import get_model_weights

    return tuple(get_model_weights(name).DEFAULT.meta["categories"])


def published(name: str) -> State:
    """The published weights, from torchvision's cache or downloaded into it.

    Raises:
        ModelError: they are not in the cache and cannot be downloaded; the message says what to fetch and where to.
    """
    import_torchvision()
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True)
        return state
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"the weights of {name} cannot be downloaded ({reason}); fetch {weights.url} (published by PyTorch), "
            f"put it at {file} and run again, or pass --weights FILE. "
            "The bundled networks playground-r2plus1d and playground-c3d need no download"
        ) from error
