"""The class activation map alone, for people with their own loop around a network and tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.capture import captured
from vidcam.cam.methods import METHODS
from vidcam.errors import SettingsError, TargetError


def class_activation_map(
    network: nn.Module,
    windows: Tensor,
    *,
    layer: str,
    target: int | Callable[[Tensor], Tensor] | None = None,
    method: str = "gradcam++",
) -> Tensor:
    """Where and when a network sees a class in each window of a batch.

    Args:
        network: in evaluation mode; gives scores before softmax, (N, classes).
        windows: the network's input, (N, 3, T, H, W), on the network's device.
        layer: name of the target layer in `network.named_modules()`; gives (N, C, t, h, w).
        target: index of the class, a function of the output that gives (N,) scores, or None for the most probable
            class of each window.
        method: a key of `vidcam.cam.methods.METHODS`.

    Returns:
        (N, T, H, W) float32, 0 or more, not normalised: the layer's map interpolated trilinearly to the input.

    Raises:
        LayerError: the layer cannot be explained.
        SettingsError: there is no such method.
        TargetError: there is no class of that index, or the function gives something else than (N,) scores.

    Example:
        >>> from torch import nn, rand
        >>> network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> class_activation_map(network.eval(), rand(1, 3, 8, 32, 32), layer="1", target=1).shape
        torch.Size([1, 8, 32, 32])
    """
    if method not in METHODS:
        raise SettingsError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")
    with captured(network, layer, windows) as capture:
        output: Tensor = capture.output
        if callable(target):
            scores = target(output)
        elif target is None:
            scores = output.max(dim=1).values
        elif 0 <= target < output.shape[1]:
            scores = output[:, target]
        else:
            raise TargetError(f"class index {target} is out of range; the network has {output.shape[1]} classes")
        if scores.shape != (len(windows),):
            raise TargetError(f"the target function gives {tuple(scores.shape)}; it must give ({len(windows)},) scores")
        heat = METHODS[method](capture.activation.float(), capture.gradient(scores).float())
    upsampled = torch.nn.functional.interpolate(
        rearrange(heat, "n t h w -> n 1 t h w"), size=windows.shape[2:], mode="trilinear", align_corners=False
    )
    return rearrange(upsampled, "n 1 t h w -> n t h w")
