"""Windows and their scores, as a method sees them that looks at a network's input and output alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vidcam.errors import ModelError, SettingsError

_ROUNDINGS = 100


@dataclass(frozen=True)
class InputParams:
    """Parameters of the methods that explain a network at its input.

    Attributes:
        absent: what stands in the place of hidden parts, one of `vidcam.cam.hiding.ABSENT`; "auto" for the method's own.
        passes: most forward passes of the network for each window and target; None for the method's own number.
        stretches: number of stretches of a window for Shapley values.

    Example:
        >>> InputParams(passes=100).passes
        100
    """

    absent: str = "auto"
    passes: int | None = None
    stretches: int = 8

    def absence(self, own: str) -> str:
        """Return what stands in the place of hidden parts for a method whose own choice is given."""
        return own if self.absent == "auto" else self.absent


@dataclass
class ScoredWindows:
    """Windows, and a function of other windows in their place: called, it runs the network and returns scores (N,).

    Attributes:
        windows: (N, 3, T, H, W), as the network gets them.
        score: returns the target's scores (N,) of windows like these, row n that of window n.
        params: of the method.
        on_pass: called after each pass of the network.

    Example:
        >>> scored = ScoredWindows(torch.ones(2, 3, 4, 8, 8), lambda windows: windows.mean((1, 2, 3, 4)))
        >>> scored(scored.windows).tolist()
        [1.0, 1.0]
    """

    windows: Tensor
    score: Callable[[Tensor], Tensor]
    params: InputParams = InputParams()
    on_pass: Callable[[], None] = lambda: None
    _largest: Tensor | None = field(default=None, init=False, repr=False)  # size of each window's scores so far, (N,)

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the scores of windows, (N,), in float32 or the network's own longer dtype.

        Raises:
            ModelError: they are not finite.
        """
        scores = self.score(windows)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if not scores.isfinite().all():
            raise ModelError(
                f"the score is not finite for a window that the method has changed (absent: {self.params.absent}); hide parts "
                "by something else (--absent), or choose a method at a layer"
            )
        size = scores.detach().abs()
        self._largest = size if self._largest is None else torch.maximum(self._largest, size)
        self.on_pass()
        return scores

    def noticed(self, changes: Tensor) -> Tensor:
        """Return changes of scores, (N, ...), those set to 0 that can be rounding: below 100 units of it in the largest score."""
        assert self._largest is not None  # or there are no changes
        eps = max(torch.finfo(self.windows.dtype).eps, torch.finfo(self._largest.dtype).eps)
        least = (_ROUNDINGS * eps * self._largest).to(changes)
        return changes * (changes.abs() > least.view(-1, *[1] * (changes.ndim - 1)))


@dataclass(frozen=True)
class InputMap:
    """Maps of windows at the network's input, and how far they have converged.

    Attributes:
        heat: (N, t, h, w) float32, 0 or more.
        converged: (N,) in [0, 1]. Of a method that samples: the correlation with the map of an independent run of as many
            passes, as estimated from the correlation r of the maps of two halves of the passes, 2 r / (1 + r) (Spearman 1910;
            Brown 1910). Of Integrated Gradients: 1 minus the part of the score that its sum misses. Of extremal perturbation:
            the correlation with the mask after three quarters of the steps. None if it is exact.
    """

    heat: Tensor
    converged: Tensor | None = None


def agreement_of_halves(first: Tensor, second: Tensor) -> Tensor:
    """Return the estimated correlation of two maps of all passes, (N,) in [0, 1], given those of each half.

    r, Pearson's correlation of the halves, becomes 2 r / (1 + r); 0 if it is negative or a map is constant.

    Args:
        first, second: maps of the halves, (N, ...).

    Example:
        >>> one = torch.tensor([[0.0, 1.0, 2.0]])
        >>> agreement_of_halves(one, 3 * one).tolist(), agreement_of_halves(one, -one).tolist()
        ([1.0], [0.0])
    """
    r = correlation_of_maps(first, second).clamp(min=0)
    return (2 * r / (1 + r)).float()


def correlation_of_maps(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation of the maps of each window, (N,) float64; 0 if a map is constant.

    Args:
        first, second: (N, ...).
    """
    x, y = (maps.flatten(1).double() for maps in (first, second))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    norm = x.norm(dim=1) * y.norm(dim=1)
    return torch.where(norm > 0, (x * y).sum(1) / torch.where(norm > 0, norm, 1.0), 0.0).clamp(-1, 1)


def captum() -> Any:
    """Return `captum.attr`, the attribution methods of captum.

    Raises:
        SettingsError: captum is not installed.
    """
    try:
        import captum.attr as attr
    except ImportError as error:
        raise SettingsError(
            f"this method is captum's, which is not installed ({error.name}): pip install 'vidcam[captum]', or choose rise, "
            "shapley of few stretches or smoothgrad"
        ) from error
    return attr
