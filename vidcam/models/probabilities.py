"""Probabilities of a network of one's own: chosen by name, and recognised where the network gives them itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vidcam.cam.targets import Pattern, scores_of
from vidcam.errors import ModelError, one_of
from vidcam.models.registry import softmax

Probabilities = Literal["auto", "softmax", "sigmoid", "given", "none"]

_ROUNDING = 1e-3  # half precision
_SCALES = (10.0, -10.0, 1000.0, -1000.0)  # of noise around 1: scores before a softmax grow with it
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "softmax": softmax,
    "sigmoid": torch.sigmoid,
    "given": torch.sigmoid,  # of `logits_in`
    "none": None,
}


def function_of(kind: Probabilities, classes: int) -> Callable[[Tensor], Tensor] | None:
    """Return the function from scores (N, classes) to probabilities; None if the scores are values.

    Args:
        kind: "auto" is softmax, or sigmoid for one class.
        classes: their number.

    Raises:
        SettingsError: there is no such kind.
        ModelError: a softmax of one class.
    """
    one_of(kind, get_args(Probabilities), "kind of probabilities")
    if kind == "softmax" and classes == 1:
        raise ModelError("a softmax of one class is always 1; give probabilities='sigmoid'")
    return _FUNCTIONS[("sigmoid" if classes == 1 else "softmax") if kind == "auto" else kind]


def recognised(scores: Tensor) -> Literal["softmax", "sigmoid"] | None:
    """Return the function that the scores (N, classes) of several windows came from, or None if they are scores before it.

    Rows that sum to 1 came from a softmax; numbers between 0 and 1 that do not, from a sigmoid.
    """
    if not bool(((scores >= -_ROUNDING) & (scores <= 1 + _ROUNDING)).all()) or not bool(scores.any()):
        return None
    sums_to_one = scores.shape[1] > 1 and bool(((scores.sum(1) - 1).abs() < _ROUNDING).all())
    return "softmax" if sums_to_one else "sigmoid"


@torch.inference_mode()
def ends_in(
    scores: Callable[[Tensor], Tensor], window: Tensor
) -> Literal["softmax", "sigmoid", "scaled softmax", "logsigmoid"] | None:
    """Return the function that a network ends in, found from its scores of noise; None if it ends in none.

    A scaled softmax is recognised by its sum, which is the same for all windows; a logsigmoid by scores of 0 or less that are
    0 or far below for large inputs. A log_softmax is none: the softmax of it is the softmax.

    Args:
        scores: returns the scores (M, classes) of windows.
        window: of zeros, (1, 3, T, H, W).
    """
    found = [scores(window)]
    if bool((found[0] < -_ROUNDING).any()) and bool((found[0] > _ROUNDING).any()):
        return None
    noise = 1 + torch.randn(window.shape, generator=torch.Generator().manual_seed(0)).to(window)
    found += [scores(noise * scale) for scale in _SCALES]
    every = torch.cat(found).float()
    every = every[every.isfinite().all(1)]  # half precision overflows
    if not len(every) or bool(((every - every[0]).abs() < _ROUNDING).all()):  # a constant network
        return recognised(every)
    sums = every.sum(1)
    even = bool(((sums - sums.mean()).abs() < _ROUNDING * sums.mean()).all())
    if even and every.shape[1] > 1 and bool((every >= -_ROUNDING * sums.mean()).all()) and recognised(every) is None:
        return "scaled softmax"
    if bool((every <= _ROUNDING).all()):
        chances, large = every.exp(), every[-2:]
        saturated = bool(((large > -_ROUNDING) | (large < -1)).all()) and bool((large > -_ROUNDING).any())
        return "logsigmoid" if saturated and recognised(chances) == "sigmoid" else None
    return recognised(every)


def last_module(network: nn.Module) -> str:
    """Return a description of a network's last module if that is a softmax or a sigmoid; "" otherwise."""
    name, module = list(network.named_modules())[-1]
    return f"{name!r}, {type(module).__name__}" if isinstance(module, nn.Softmax | nn.Sigmoid) and name else ""


def logits_in(find: Callable[[Any], Any], pattern: Pattern, name: str) -> Callable[[Any], Tensor]:
    """Return a function from a network's output to the logits log p / (1 - p) of the probabilities p that it holds.

    Args:
        find: returns the part of the output that holds them.
        pattern: axes of the probabilities.
        name: of the network; the function raises a ModelError if they are not between 0 and 1.
    """

    def logits(output: Any) -> Tensor:
        given = scores_of(find(output), pattern)
        low, high = given.min().item(), given.max().item()
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # not a number is neither
            raise ModelError(
                f"{name} gives scores from {low:.5g} to {high:.5g}, which are no probabilities; "
                "leave out probabilities='given'"
            )
        return torch.logit(given, eps=torch.finfo(given.dtype).eps)

    return logits
