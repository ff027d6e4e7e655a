"""Activation and gradient at one layer, at the price of a plain forward pass.

The layers up to the target (the trunk) run without recording a graph. At the target layer the activation is cut
off and becomes a leaf; only the layers after it (the head) are recorded, and only they are differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vidcam.errors import LayerError


class Capture:
    """What one forward pass left behind: the `output` of the network and the target layer's `activation`.

    The activation is (N, C, T, H, W), without a graph, in the dtype the network computed it in.
    """

    def __init__(self) -> None:
        self.output: Any = None
        self._leaf: Tensor | None = None

    @property
    def activation(self) -> Tensor:
        """The target layer's output, (N, C, T, H, W)."""
        assert self._leaf is not None
        return self._leaf.detach()

    def gradient(self, scores: Tensor) -> Tensor:
        """The gradient of each window's score with respect to the activation; may be called many times.

        Args:
            scores: (N,) scores computed from `output`, entry n from window n alone.

        Returns:
            dS/dA, (N, C, T, H, W).

        Raises:
            LayerError: the scores do not depend on the layer's activation.
        """
        if self._leaf is None or not scores.requires_grad:
            raise LayerError(
                "the output does not depend on the target layer through operations that can be differentiated; "
                "choose a layer that the score is computed from, and a model that does not switch gradients off"
            )
        (gradient,) = torch.autograd.grad(scores.sum(), [self._leaf], retain_graph=True, allow_unused=True)
        if gradient is None:
            raise LayerError("the score does not depend on the target layer; choose a layer that it is computed from")
        return gradient


@contextmanager
def captured(network: nn.Module, layer: str, windows: Tensor) -> Iterator[Capture]:
    """Run a network on windows and keep what a class activation map needs.

    Where a module is called several times in one pass, its last call is the one explained. The network may be in
    any dtype and memory layout; rectifiers that work in place after the layer do not touch the kept activation.
    No hook and no gradient mode outlives the `with`, whatever is raised in it.

    Args:
        network: in evaluation mode.
        layer: name of a module in `network.named_modules()` that gives one (N, C, T, H, W) tensor.
        windows: input of the network, (N, 3, T, H, W).

    Raises:
        LayerError: there is no such layer, it was not called, or it gives something else.
    """
    capture = Capture()

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 5:
            raise LayerError(f"layer {layer!r} gives {_described(output)}; a (N, C, T, H, W) tensor is needed")
        torch.set_grad_enabled(True)
        capture._leaf = output.detach().requires_grad_(True)
        return capture._leaf.clone()

    handle = module_named(network, layer).register_forward_hook(keep)
    try:
        with torch.no_grad():
            capture.output = network(windows)
            if capture._leaf is None:
                raise LayerError(f"layer {layer!r} is not called when the network runs; choose another")
            torch.set_grad_enabled(True)
            yield capture
    finally:
        handle.remove()


def module_named(network: nn.Module, name: str) -> nn.Module:
    """The module of that name.

    Raises:
        LayerError: there is none; the message lists names to choose from.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    convolutions = [n for n, m in modules.items() if isinstance(m, nn.Conv3d)]
    raise LayerError(f"there is no layer {name!r}; its 3D convolutions are {', '.join(convolutions) or 'none'}")


def space_time_layers(network: nn.Module, windows: Tensor) -> dict[str, tuple[int, ...]]:
    """The layers that can be explained: name → output shape (C, T, H, W), in the order they are called.

    Runs the network once on `windows` (N, 3, T, H, W). Layers with a single position in space are left out.
    """
    found: dict[str, tuple[int, ...]] = {}
    handles = []

    def watch(name: str) -> Any:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 5 and output.shape[-1] * output.shape[-2] > 1:
                found.pop(name, None)
                found[name] = tuple(output.shape[1:])

        return note

    try:
        handles = [m.register_forward_hook(watch(n)) for n, m in network.named_modules() if n]
        with torch.inference_mode():
            network(windows)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _described(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
