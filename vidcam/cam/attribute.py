"""Class activation maps of a batch of windows, for vidcam's engine and for your own loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.capture import Capture, InPlaceError, captured
from vidcam.cam.input_methods import INPUT_METHODS, check_method
from vidcam.cam.layout import CHANNELS_FIRST, Layout
from vidcam.cam.methods import method_named, needs
from vidcam.cam.scored import InputMap, InputParams
from vidcam.cam.targets import ScoreFunction, class_scores, classes
from vidcam.errors import LayerError, ModelError, TargetError, VidcamError, counted


def class_activation_map(
    network: nn.Module,
    windows: Tensor,
    *,
    layer: str | None = None,
    target: int | ScoreFunction | None = None,
    method: str = "gradcam++",
    layout: Layout = CHANNELS_FIRST,
    pack: Callable[[Tensor], Any] = lambda windows: windows,
) -> Tensor:
    """Return the evidence for a class in each window of a batch, as a heatmap over time and space.

    Args:
        network: in evaluation mode; returns scores before softmax, (N, classes).
        windows: (N, 3, T, H, W), preprocessed, on the network's device.
        layer: name of the target layer in `network.named_modules()`; None for a method of
            `vidcam.cam.input_methods.INPUT_METHODS`, which needs none.
        target: index of the class; a function of the network's output that returns (N,) scores; or None for the most
            probable class of each window.
        method: one of `vidcam.cam.input_methods.METHOD_NAMES`.
        layout: the order of axes in the layer's output; (N, C, T, H, W) or (N, C, H, W) by default.
        pack: returns the network's input, given windows.

    Returns:
        (N, T, H, W) float32, 0 or more, not normalised: the layer's map interpolated trilinearly to the windows.

    Raises:
        LayerError: the layer cannot be explained; or none is given, or one to a method that needs none.
        SettingsError: there is no such method, or it is captum's, which is not installed.
        ModelError: the method needs the score's gradient by the pixels, and there is none.
        TargetError: there is no class of that index, or the function does not return (N,) scores.

    Example:
        >>> from torch import nn, rand
        >>> network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> class_activation_map(network.eval(), rand(1, 3, 8, 32, 32), layer="1", target=1).shape
        torch.Size([1, 8, 32, 32])
    """
    check_method(method)
    at_input = method in INPUT_METHODS
    if at_input != (layer is None):
        what = "the network at its input, and a layer is given; leave it out" if at_input else "a layer; give its name"
        raise LayerError(f"{method} explains {what}")
    with captured(network, [layer] if layer else [], windows, layout=layout, pack=pack) as capture:
        if callable(target):
            score = target
        else:
            scores = class_scores(capture.output)
            if len(scores) != len(windows):
                raise TargetError(
                    f"the network gives scores of {counted(len(scores), 'row')} for {counted(len(windows), 'window')}; "
                    "wrap it so that it gives one row for each, such as the mean over frames"
                )
            if target is not None and not 0 <= target < scores.shape[1]:
                raise TargetError(
                    f"class index {target} is out of range; the network has {counted(scores.shape[1], 'class')}"
                )
            score = classes(scores.argmax(1) if target is None else torch.full((len(windows),), target))
        if at_input:
            heat = input_map(capture, score, method).heat
        else:
            (heat,) = class_activation_maps(capture, score, [method]).values()
    upsampled = torch.nn.functional.interpolate(
        rearrange(heat, "n t h w -> n 1 t h w"), size=windows.shape[2:], mode="trilinear", align_corners=False
    )
    return rearrange(upsampled, "n 1 t h w -> n t h w")


def class_activation_maps(
    capture: Capture, score: ScoreFunction, methods: Sequence[str]
) -> dict[tuple[str, str], Tensor]:
    """Return the maps of one score by several methods at all captured layers.

    Args:
        capture: an open `captured`.
        score: a function of the network's output that returns one score per window, (N,).
        methods: keys of `vidcam.cam.methods.METHODS`.

    Returns:
        (method, layer) → (N, t, h, w) float32 on the layer's grid, 0 or more, not normalised.

    Raises:
        LayerError: the score does not depend on a layer, or a method cannot explain it.
        ModelError: a gradient is not finite.
        TargetError: the function fails, or does not return (N,) scores.
    """
    scores = _checked_scores(capture, score)
    activations = {layer: a.float() for layer, a in capture.activations.items()}
    wanted = frozenset().union(*(needs(method_named(name)) for name in methods))
    try:
        gradients, relevances = _differentiated(capture, scores, wanted)
    except InPlaceError:
        capture.run_with_copies()
        gradients, relevances = _differentiated(capture, score(capture.output), wanted)
    maps = {}
    for layer, activation in activations.items():
        given: dict[str, Any] = {"activation": activation}
        if "gradient" in wanted:
            given["gradient"] = gradients[layer].float()
        if "relevance" in wanted:
            given["relevance"] = relevances[layer].float()
        if "cumulants" in wanted:
            given["cumulants"] = tuple(c.float() for c in capture.cumulants(layer))
        if "masked_scores" in wanted:
            given["masked_scores"] = capture.masked_scores(layer, score).float()
        for name in methods:
            method = method_named(name)
            maps[name, layer] = method(**{need: given[need] for need in needs(method)})
            parts = [tensor for need in needs(method) for tensor in _tensors(given[need])]
            if not all(tensor.isfinite().all() for tensor in (*parts, maps[name, layer])):
                raise ModelError(
                    f"the gradient of the score is not finite at layer {layer}, where {name} explains it: the network computes "
                    "something without a derivative, such as the square root of 0; add a small number to it "
                    "(sqrt(x + 1e-6)), or choose a method without gradients: scorecam or rise"
                )
    return maps


def _tensors(given: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else given


def input_map(
    capture: Capture,
    score: ScoreFunction,
    method: str,
    params: InputParams = InputParams(),
    on_pass: Callable[[], None] = lambda: None,
) -> InputMap:
    """Return the maps of one score by a method at the network's input.

    Args:
        capture: an open `captured`; it needs no layer.
        score: a function of the network's output that returns one score per window, (N,).
        method: a key of `vidcam.cam.input_methods.INPUT_METHODS`.
        params: of the method.
        on_pass: called after each pass of the network.

    Raises:
        SettingsError: captum is needed and not installed, or the passes do not suffice.
        ModelError: the method needs the score's gradient by the pixels, and there is none, or it is not finite; or a score is
            not finite where parts are hidden.
        TargetError: the function fails, or does not return (N,) scores.
    """
    _checked_scores(capture, score)
    found = INPUT_METHODS[method](capture.scored(score, params, on_pass))
    if not found.heat.isfinite().all():
        raise ModelError(
            f"the gradient of the score by the pixels is not finite, which {method} needs: the network computes something "
            "without a derivative, such as the square root of 0; add a small number to it (sqrt(x + 1e-6)), or choose a "
            "method that hides parts: rise, occlusion or shapley"
        )
    return found


def _checked_scores(capture: Capture, score: ScoreFunction) -> Tensor:
    """Return the score of each window, (N,), and check it.

    Raises:
        TargetError: the function fails, or does not return (N,) finite scores.
    """
    try:
        scores = score(capture.output)
    except (VidcamError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a user's function may raise anything
        raise TargetError(
            f"the target function fails on the network's output ({type(error).__name__}: {error}); "
            "it must give one score for each window, (N,)"
        ) from error
    count = capture.count
    if not isinstance(scores, Tensor) or scores.shape != (count,):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise TargetError(
            f"the target function gives {got} for {counted(count, 'window')}; it must give one score each, (N,)"
        )
    if not torch.isfinite(scores).all():
        raise TargetError("the target function gives scores that are not finite; it must give finite numbers")
    return scores


def _differentiated(
    capture: Capture, scores: Tensor, wanted: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the gradients and the relevances of all layers, those that are wanted."""
    return (
        capture.gradients(scores) if "gradient" in wanted or "cumulants" in wanted else {},
        capture.relevances(scores) if "relevance" in wanted else {},
    )
