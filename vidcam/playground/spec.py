"""Specification of the bundled networks: what they share, and where their weights are."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from torch import nn

from vidcam.cam.layout import CHANNELS_FIRST, Layout
from vidcam.models.registry import ModelSpec
from vidcam.models.weights import read_state
from vidcam.playground.actions import LABELS, NOTHING
from vidcam.playground.domain import DOMAIN, PREPROCESS, rendered
from vidcam.playground.scene import FPS

_SECONDS = 16 / FPS  # of a window


def bundled_weights(name: str) -> Path:
    """Return the path of the weights of a bundled network inside the package."""
    return Path(str(files("vidcam"))) / "playground" / "bundled" / f"{name}.safetensors"


def bundled_spec(
    name: str,
    build: Callable[[int], nn.Module],
    layer: str,
    *,
    layout: Layout = CHANNELS_FIRST,
    method: str = "",
    tokens: str = "",
    frames: int = 16,
) -> ModelSpec:
    """Return the specification of a bundled classifier of windows of a second, of 112x112 pixels.

    Args:
        name: for `load_model`, and of the file of its weights.
        build: returns the network with random weights, given the number of classes.
        layer: the default target layer.
        layout: order of axes in the outputs of its layers.
        method, tokens: the default method, and the layer of the first tokens, see `ModelSpec`.
        frames: of a window.

    Example:
        >>> from vidcam.playground.networks import SmallR2Plus1D
        >>> bundled_spec("playground-r2plus1d", SmallR2Plus1D, "layer3").num_classes
        11
    """
    return ModelSpec(
        name=name,
        build=build,
        num_classes=len(LABELS),
        published=lambda: read_state(bundled_weights(name)),
        labels=lambda: LABELS,
        preprocess=PREPROCESS,
        frames=frames,
        frame_rate=frames / _SECONDS,
        layer=layer,
        layout=layout,
        method=method,
        tokens=tokens,
        source="vidcam, trained on its playground",
        background=NOTHING,
        inside=rendered,
        domain=DOMAIN,
    )
