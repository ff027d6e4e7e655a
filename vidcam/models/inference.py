"""A network made quick without changing its answer: batch normalisation folded, its trunk in a shorter float."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vidcam.cam.targets import class_scores
from vidcam.models.registry import Model

_Convolution = (nn.Conv3d, nn.Conv2d)
_Normalisation = (nn.BatchNorm3d, nn.BatchNorm2d)
_FOLDED_ALIKE = 1e-3  # largest difference of scores after folding, as a share of their largest


def prepared(model: Model, dtype: torch.dtype, layers: Sequence[str]) -> Model:
    """A copy of a model for inference.

    Batch normalisation is folded into the convolution before it wherever the network runs one directly after the
    other, except at the target layers. The trunk, up to the last target layer, computes in `dtype`; what that
    layer gives, and the head behind it, are float32.

    Args:
        model: in evaluation mode, float32.
        dtype: torch.float32, torch.bfloat16 or torch.float16.
        layers: names of the target layers.
    """
    network = copy.deepcopy(model.network)
    quick = replace(model, network=network)
    if not torch.allclose(
        _scores(fold(quick, layers)), expected := _scores(model), atol=_FOLDED_ALIKE * _largest(expected)
    ):
        quick = replace(model, network=copy.deepcopy(model.network))  # a convolution's output is used twice
    if dtype != torch.float32:
        shorten(quick, dtype, layers)
    return quick


def quickest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where this device multiplies matrices in it at least half again as fast as in float32, else float32."""
    seconds = {dtype: _multiplying(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return torch.bfloat16 if seconds[torch.bfloat16] * 1.5 <= seconds[torch.float32] else torch.float32


def _multiplying(device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of one product of two 1024x1024 matrices, the best of five."""
    a = torch.ones(1024, 1024, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - began)
    return best


def fold(model: Model, layers: Sequence[str]) -> Model:
    """Fold batch normalisation into convolutions, in place, as the network runs them on one window."""
    kept = set(layers)
    names = {module: name for name, module in model.network.named_modules()}
    given: dict[int, tuple[nn.Module, Tensor]] = {}
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def after_convolution(module: nn.Module, _: Any, output: Tensor) -> None:
        given[id(output)] = module, output

    def before_normalisation(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in given:
            pairs.append((given[id(inputs[0])][0], module))

    hooks = []
    for module in names:
        if isinstance(module, _Convolution):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, _Normalisation) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(before_normalisation))
    try:
        _scores(model)
    finally:
        for hook in hooks:
            hook.remove()
    convolutions = [convolution for convolution, _ in pairs]
    for convolution, normalisation in pairs:
        if convolutions.count(convolution) > 1 or kept & {names[convolution], names[normalisation]}:
            continue
        mean, variance = normalisation.running_mean, normalisation.running_var
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,  # type: ignore[arg-type]
            convolution.bias,  # type: ignore[arg-type]
            mean,  # type: ignore[arg-type]
            variance,  # type: ignore[arg-type]
            normalisation.eps,  # type: ignore[arg-type]
            normalisation.weight,  # type: ignore[arg-type]
            normalisation.bias,  # type: ignore[arg-type]
        )
        convolution.weight, convolution.bias = weight, bias
        parent, _, child = names[normalisation].rpartition(".")
        setattr(model.network.get_submodule(parent), child, nn.Identity())
    return model


def shorten(model: Model, dtype: torch.dtype, layers: Sequence[str]) -> None:
    """Let the trunk, up to the last target layer that is called, compute in a shorter float, in place."""
    targets = [model.network.get_submodule(name) for name in layers]
    head: set[nn.Module] = set()

    def called(module: nn.Module, _: Any) -> None:
        head.add(module)

    def left(_module: nn.Module, _: Any, _output: Any) -> None:
        head.clear()

    hooks = [m.register_forward_pre_hook(called) for m in model.network.modules() if not list(m.children())]
    hooks += [layer.register_forward_hook(left) for layer in targets]
    try:
        _scores(model)
    finally:
        for hook in hooks:
            hook.remove()
    for module in model.network.modules():
        if module not in head:
            for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    for layer in targets:
        layer.register_forward_hook(_lengthened)


def _lengthened(_module: nn.Module, _: Any, output: Any) -> Any:
    return output.float() if isinstance(output, Tensor) else output


@torch.no_grad()
def _scores(model: Model) -> Tensor:
    """Class scores of one window of noise, always the same."""
    spec = model.spec
    noise = torch.rand(1, 3, spec.frames, *spec.preprocess.crop, generator=torch.Generator().manual_seed(0))
    window = spec.preprocess.normalized(noise * 255)
    parameter = next(model.network.parameters())
    return class_scores(model.network(spec.pack(window.to(parameter.device, parameter.dtype)))).float()


def _largest(scores: Tensor) -> float:
    return float(scores.abs().max())
