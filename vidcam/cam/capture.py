"""Activations and gradients at target layers, at little more than the cost of a plain forward pass.

The layers up to the first target (the trunk) run without recording a graph. The activation is detached there and
becomes a leaf: only the layers after it (the head) are recorded and differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.inputs import forward
from vidcam.cam.layout import CHANNELS_FIRST, Fold, Layout, tensor_of
from vidcam.cam.targets import ScoreFunction, Scores, class_scores
from vidcam.errors import LayerError, nearest

_ONE_AT_A_TIME = RLock()


class Capture:
    """The `output` of one forward pass, and the tensors that a map needs at each target layer.

    All tensors of a layer are (N, C, T, H, W), without a graph, in the dtype in which the network computed them.

    Attributes:
        output: as the network returned it; the head's graph is kept.
    """

    def __init__(self, windows: Tensor, run: Callable[[Tensor], Any], scores: Scores) -> None:
        self.output: Any = None
        self._scores = scores
        self._windows, self._run = windows, run
        self._kept: dict[str, tuple[Tensor, Fold]] = {}
        self._cumulants: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self._watching = True

    @property
    def activations(self) -> dict[str, Tensor]:
        """Output of each layer by its name, (N, C, T, H, W)."""
        return {name: fold(kept.detach()) for name, (kept, fold) in self._kept.items()}

    def gradients(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the gradient of each window's score by its activation, dS/dA; can be called many times.

        Args:
            scores: (N,) scores computed from `output`, entry n from window n alone.

        Returns:
            Layer → (N, C, T, H, W).

        Raises:
            LayerError: the scores do not depend on a layer's activation.
        """
        if not scores.requires_grad:
            raise LayerError(
                "the output does not depend on the target layer through operations that can be differentiated; "
                "choose a layer that the score is computed from, and a model that does not switch gradients off"
            )
        kept = [tensor for tensor, _ in self._kept.values()]
        found = torch.autograd.grad(scores.sum(), kept, retain_graph=True, allow_unused=True)
        gradients = {}
        for (name, (_, fold)), gradient in zip(self._kept.items(), found):
            if gradient is None:
                raise LayerError(
                    f"the score does not depend on layer {name!r}; choose a layer that it is computed from"
                )
            gradients[name] = fold(gradient)
        return gradients

    def cumulants(self, layer: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first three cumulants of dS_k/dA over the classes k, weighted by their probabilities.

        Runs one backward pass of the head for each class.

        Args:
            layer: name of a captured layer.

        Returns:
            Mean, variance and third cumulant, (N, C, T, H, W) each.

        Raises:
            LayerError: the scores do not depend on a layer's activation.
            TargetError: the output holds no class scores.
        """
        if not self._cumulants:
            scores = self._scores(self.output)
            shares = scores.detach().to(torch.promote_types(scores.dtype, torch.float32)).softmax(1)
            moments: dict[str, list[Tensor]] = {}
            for k in range(scores.shape[1]):
                for name, gradient in self.gradients(scores[:, k]).items():
                    share = shares[:, k].view(-1, 1, 1, 1, 1).to(gradient.dtype)
                    powers = [share * gradient, share * gradient**2, share * gradient**3]
                    moments[name] = [a + b for a, b in zip(moments[name], powers)] if name in moments else powers
            for name, (m1, m2, m3) in moments.items():
                self._cumulants[name] = m1, m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3
        return self._cumulants[layer]

    def masked_scores(self, layer: str, score: ScoreFunction) -> Tensor:
        """Return the score of each window masked by each channel of a layer, (N, C).

        A channel is interpolated to the size of the window, scaled to [0, 1] and multiplied with the window. Runs
        one forward pass of the network for each channel.

        Args:
            layer: name of a captured layer.
            score: a function of the network's output that returns one score per window, (N,).
        """
        scores = []
        self._watching = False
        with torch.no_grad():
            for channel in self.activations[layer].unbind(1):
                mask = nn.functional.interpolate(
                    rearrange(channel.float(), "n t h w -> n 1 t h w"), self._windows.shape[2:], mode="trilinear"
                )
                low, high = mask.amin((1, 2, 3, 4), True), mask.amax((1, 2, 3, 4), True)
                mask = (mask - low) / torch.where(high > low, high - low, 1.0)
                scores.append(score(self._run(self._windows * mask.to(self._windows.dtype))))
        self._watching = True
        return torch.stack(scores, 1)


@contextmanager
def captured(
    network: nn.Module,
    layers: Sequence[str],
    windows: Tensor,
    *,
    layout: Layout = CHANNELS_FIRST,
    pack: Callable[[Tensor], Any] = lambda windows: windows,
    cut: Callable[[Tensor], Tensor] | None = None,
    scores: Scores = class_scores,
) -> Iterator[Capture]:
    """Run a network on windows and yield a `Capture` of the tensors that a class activation map needs.

    If a module is called several times in one pass, its last call is captured. The network can be in any dtype and
    memory format; rectifiers that work in place after a layer do not change the captured activation. Hooks and the
    gradient mode are restored when the `with` ends, also by an exception.

    Args:
        network: in evaluation mode.
        layers: names of modules in `network.named_modules()` whose output has time and space.
        windows: (N, 3, T, H, W), preprocessed, on the network's device.
        layout: order of axes in the layers' output; channels first by default.
        pack: returns the network's input, given windows, see `vidcam.cam.inputs.forward`.
        cut: returns the layer's output on N windows, given that on one long span of frames; the head computes on it.
        scores: returns the class scores (N, classes) in the network's output.

    Raises:
        LayerError: there is no such layer, it is not called, or its output is not (N, C, T, H, W) by the layout.
    """
    capture = Capture(windows, lambda windows: forward(network, pack(windows)), scores)

    def keeper(name: str) -> Any:
        def keep(module: nn.Module, _inputs: Any, output: Any) -> Any:
            if not capture._watching:
                return None
            if cut is not None and isinstance(output, Tensor):
                output = cut(output)
            fold, tensor = layout.fold(module, output), tensor_of(output)
            if fold is None or tensor is None:
                raise LayerError(f"layer {name!r} gives {_described(output)}; a (N, C, T, H, W) tensor is needed")
            torch.set_grad_enabled(True)
            kept = tensor if tensor.requires_grad else tensor.detach().requires_grad_(True)
            capture._kept[name] = kept, fold
            return kept.clone() if isinstance(output, Tensor) else (kept.clone(), *output[1:])

        return keep

    handles = []
    _ONE_AT_A_TIME.acquire()  # another thread's run of the network would be kept, too
    try:
        for name in layers:
            handles.append(module_named(network, name).register_forward_hook(keeper(name)))
        with torch.no_grad():
            capture.output = forward(network, pack(windows))
            for name in layers:
                if name not in capture._kept:
                    raise LayerError(f"layer {name!r} is not called when the network runs; choose another")
            torch.set_grad_enabled(True)
            yield capture
    finally:
        for handle in handles:
            handle.remove()
        _ONE_AT_A_TIME.release()


def module_named(network: nn.Module, name: str) -> nn.Module:
    """Return the module of a name.

    Raises:
        LayerError: there is none; the message lists names to choose from.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    convolutions = [n for n, m in modules.items() if isinstance(m, nn.Conv3d | nn.Conv2d)]
    near = nearest(name, [n for n in modules if n])
    hint = f"nearest: {', '.join(near)}; " if near else ""
    raise LayerError(f"there is no layer {name!r}; {hint}its convolutions are {', '.join(convolutions) or 'none'}")


def _described(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
