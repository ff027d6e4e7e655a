"""Batches of windows, tested: a window's scores and activations must be the same beside others as alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vidcam.cam.capture import captured
from vidcam.cam.layout import Layout

_CLEARLY = 0.1  # difference as a share of the values' own spread; kernels and half precision stay far below


def fault_in_batches(
    network: nn.Module,
    layer: str,
    window: Tensor,
    layout: Layout,
    pack: Callable[[Tensor], Any],
    scores: Callable[[Any], Tensor] | None = None,
) -> str:
    """Return a message if the network gives a window other scores or activations beside another than alone; or "".

    Frames in the rows of the batch lie window by window, (n t), or frame by frame, (t n); one window does not tell which.
    Runs the network three times on noise.

    Args:
        network: in evaluation mode.
        layer: name of the layer.
        window: one, (1, 3, T, H, W); its values do not matter.
        layout: of the layer's output.
        pack: returns the network's input, given windows.
        scores: returns the scores (N, ...) in the network's output; None if it holds none.

    Raises:
        LayerError: the layer has no time and space in the layout.

    Example:
        >>> network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4, track_running_stats=False))
        >>> window, given = torch.zeros(1, 3, 2, 4, 4), lambda windows: windows
        >>> fault_in_batches(network, "0", window, Layout(), given)
        ''
        >>> fault_in_batches(network, "1", window, Layout(), given)[:45]
        "a window has other values at layer '1' in a b"
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (torch.randn(window.shape).to(window) * scale for scale in (3, 1))

    def values(windows: Tensor) -> dict[str, Tensor]:
        with captured(network, [layer], windows, layout=layout, pack=pack) as capture, torch.no_grad():
            found = {f"at layer {layer!r}": capture.activations[layer][-1].float()}
            if scores is not None:
                found["in its scores"] = scores(capture.output)[-1].float()
            return found

    both = torch.cat([first, second]).contiguous(memory_format=torch.channels_last_3d)  # as the windows of clips
    alone, again, beside = values(second), values(second), values(both)
    for place, expected in alone.items():
        if _differ(expected, again[place]):
            return (
                f"a window has other values {place} in a second run: something random is left in the network, such as a "
                "dropout that is not a module; switch it off"
            )
        if _differ(expected, beside[place]):
            return (
                f"a window has other values {place} in a batch of two than alone; if the rows of the batch hold the frames "
                "one after the other and in each the windows, give the layout as '(t n) ...'; otherwise let the network "
                "treat each window by itself"
            )
    return ""


def _differ(expected: Tensor, found: Tensor) -> bool:
    """Return True if values differ clearly, or in shape."""
    if expected.shape != found.shape:
        return True
    spread = (expected - expected.mean()).abs().mean() if expected.numel() > 2 else expected.abs().mean()
    return bool((expected - found).abs().mean() > _CLEARLY * spread.clamp(min=1e-6))
