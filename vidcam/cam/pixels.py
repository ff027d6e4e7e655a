"""Methods that differentiate the score by the window's pixels. They need a network with gradients, and no layer of it.

Each takes the windows and their scores and returns maps (N, T, h, w) of means over cells of pixels, at most 28x28 in a frame:
single pixels differ so much that a film scaled to the strongest of them is dark. The first line of a docstring is its line
in `vidcam methods`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from vidcam.cam.hiding import absent
from vidcam.cam.scored import InputMap, ScoredWindows, agreement_of_halves, captum
from vidcam.errors import ModelError, SettingsError

INTEGRATED_PASSES, SMOOTHGRAD_PASSES = 50, 50
"""Passes for each window and target if none are given, each with a backward pass."""

_CELLS = 28  # in height and in width
_NOISE = 0.15  # standard deviation, as a share of the window's range of values


def integrated_gradients(scored: ScoredWindows) -> InputMap:
    """Integrated Gradients (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1) of the pixels.

    See `pixel_shares`. The map is relu of the mean over the pixels of a cell, their colours added.

    Returns:
        Maps (N, T, h, w), h and w 28 or fewer.

    Raises:
        SettingsError: captum is not installed.
        ModelError: the score has no gradient by the pixels.
    """
    shares, missed = pixel_shares(scored)
    return InputMap(_in_cells(reduce(shares, "n c t h w -> n t h w", "sum")).clamp(min=0), (1 - missed).clamp(min=0))


def pixel_shares(scored: ScoredWindows) -> tuple[Tensor, Tensor]:
    """Return Integrated Gradients of each value of the windows, (N, 3, T, H, W), and the part that their sum misses, (N,).

        φ = (x - x') ∫ dS(x' + a (x - x'))/dx da,  Σφ = S(x) - S(x')

    x' is the window without what is absent, by default its middle frame, blurred. Computed by captum with Gauss-Legendre
    quadrature of as many points as passes, 50 by default. The part missed is |Σφ - (S(x) - S(x'))| / |S(x) - S(x')|.

    Raises:
        SettingsError: captum is not installed.
        ModelError: the score has no gradient by the pixels.
    """
    check_gradient(scored)
    windows = scored.windows
    baselines = absent(windows, scored.params.absence("frozen-blurred"))
    shares, delta = captum().IntegratedGradients(scored).attribute(
        windows,
        baselines=baselines,
        n_steps=scored.params.passes or INTEGRATED_PASSES,
        internal_batch_size=len(windows),
        return_convergence_delta=True,
    )  # fmt: skip
    shares, delta = shares.detach(), delta.detach().double()
    whole = reduce(shares.double(), "n c t h w -> n", "sum") - delta
    missed = torch.where(whole != 0, delta.abs() / torch.where(whole != 0, whole.abs(), 1.0), (delta != 0).double())
    return shares, missed.float()


def smoothgrad(scored: ScoredWindows) -> InputMap:
    """SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825, section 3.1): the gradient by the pixels, averaged over noise.

        L = Σ_colours |mean over samples of dS(x + ε)/dx|,  ε normal, σ = 0.15 (max x - min x)

    The map is the mean of L over the pixels of a cell. The size of a gradient has no sign of for or against. The noise is
    the same for all windows, so that a window's map does not depend on those beside it. 50 passes by default.

    Returns:
        Maps (N, T, h, w), h and w 28 or fewer.

    Raises:
        SettingsError: the passes do not suffice for two halves.
        ModelError: the score has no gradient by the pixels.
    """
    count = scored.params.passes or SMOOTHGRAD_PASSES
    if count < 2:
        raise SettingsError(f"smoothgrad takes 2 passes or more, and {count} is given; give more passes")
    check_gradient(scored)
    windows = scored.windows
    spread = _NOISE * (
        reduce(windows, "n c t h w -> n 1 1 1 1", "max") - reduce(windows, "n c t h w -> n 1 1 1 1", "min")
    )
    generator, halves = torch.Generator().manual_seed(0), []
    for samples in (count - count // 2, count // 2):
        total = torch.zeros_like(windows)
        for _ in range(samples):
            noise = torch.randn(windows.shape[1:], generator=generator).to(windows)
            total += _gradient(scored, windows + spread * noise)
        halves.append((total, samples))
    (first, some), (second, others) = halves
    maps = [_size(first / some), _size(second / others)]
    return InputMap(_size((first + second) / count), agreement_of_halves(*maps))


def _size(gradient: Tensor) -> Tensor:
    """Return the sum over colours of a gradient's sizes, in cells, (N, T, h, w) float32."""
    return _in_cells(reduce(gradient.abs(), "n c t h w -> n t h w", "sum"))


def _in_cells(values: Tensor) -> Tensor:
    """Return the mean of values (N, T, H, W) over the pixels of each cell, (N, T, h, w) float32."""
    return F.adaptive_avg_pool2d(values.float(), (min(_CELLS, values.shape[2]), min(_CELLS, values.shape[3])))


def _gradient(scored: ScoredWindows, windows: Tensor) -> Tensor:
    """Return the gradient of each window's score by its pixels, (N, 3, T, H, W)."""
    with torch.enable_grad():
        given = windows.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(scored(given).sum(), given)
    return found


def check_gradient(scored: ScoredWindows) -> None:
    """Raise a ModelError if the scores have no gradient by the pixels."""
    with torch.enable_grad():
        score = scored.score(scored.windows.detach().requires_grad_(True))
    if not score.requires_grad:
        raise ModelError(
            "the score has no gradient by the window's pixels, as that of a network that runs outside PyTorch; choose a method "
            "that hides parts: rise, occlusion or shapley"
        )
