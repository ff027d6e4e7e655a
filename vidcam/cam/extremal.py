"""Extremal perturbation in space-time: the tenth of a window that keeps the score highest when the rest is hidden.

The equations are those of Fong, Patrick and Vedaldi 2019 (arXiv 1910.08485), with time as a third axis. Li et al. (2020, arXiv
2005.00375; 2021, STEP, arXiv 2109.00222) take them to video with a term of the loss that keeps the mask smooth over space
and time; here the max-convolution over time, rows and columns alone makes it smooth.
"""

from __future__ import annotations

from itertools import product
from math import exp

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from vidcam.cam.hiding import absent
from vidcam.cam.pixels import check_gradient
from vidcam.cam.scored import InputMap, ScoredWindows, correlation_of_maps
from vidcam.errors import SettingsError

EXTREMAL_PASSES = 100
"""Passes for each window and target if none are given, each with a backward pass."""

AREA = 0.1
"""Share of the window that the mask shows."""

_GRID = (8, 14, 14)  # cells of the mask in time, height and width
_TEMPERATURE = 0.05  # of the smooth maximum
_RATE, _MOMENTUM = 0.03, 0.9
_AREA_WEIGHT = 300.0  # of the area's term in the last step


def extremal(scored: ScoredWindows) -> InputMap:
    """Extremal perturbation (Fong et al. 2019, arXiv 1910.08485, eqs. 3 and 4): the tenth of the window that is best shown.

        max over m of  S(m x + (1 - m) x') / |S(x) - S(x')| - λ ‖vecsort(m) - r_a‖² / cells

    r_a is 0 in a share 1 - a of its entries and 1 in the others, a = 0.1, so that the mask m has the area a and is nearly
    binary. m is `smoothed`, and it is interpolated to the window. x' is the window without what is absent, by default its
    middle frame, blurred. In each pass m takes a step along the gradient with momentum, and λ grows from 0. 100 passes by default.

    It differs from the paper in this: there is a third axis, time; the score is divided by the change that the whole window makes, so
    that one λ suits all networks; the mask is a logistic function of what is optimised and not clipped; there is one area.

    Returns:
        Maps of 8x14x14, or fewer for small windows: the mask, times the score that it gains over the hidden window.

    Raises:
        SettingsError: the passes do not suffice for a step.
        ModelError: the score has no gradient by the pixels.
    """
    passes = scored.params.passes or EXTREMAL_PASSES
    if passes < 5:
        raise SettingsError(f"extremal takes 5 passes or more, and {passes} are given; give more passes")
    check_gradient(scored)
    windows = scored.windows
    hidden = absent(windows, scored.params.absence("frozen-blurred"))
    with torch.no_grad():
        emptied = scored(hidden)
        whole = (scored(windows) - emptied).abs()
    unit = torch.where(whole > 0, whole, 1.0)
    grid = [min(cells, side) for cells, side in zip(_GRID, windows.shape[2:])]
    logits = torch.zeros((len(windows), *grid), device=windows.device, dtype=emptied.dtype)
    velocity, steps, earlier = torch.zeros_like(logits), passes - 3, logits
    for step in range(steps):
        given = logits.detach().requires_grad_(True)
        with torch.enable_grad():
            mask = smoothed(given.sigmoid())
            gained = scored(torch.lerp(hidden, windows, _interpolated(mask, windows))) / unit
            missed = reduce(area_term(mask, AREA), "n -> ", "sum")
            value = gained.sum() * mask[0].numel() - _AREA_WEIGHT * step / steps * missed
            (gradient,) = torch.autograd.grad(value, given)
        velocity = _MOMENTUM * velocity + gradient
        logits = (given + _RATE * velocity).detach()
        earlier = logits if step == 3 * steps // 4 else earlier
    with torch.no_grad():
        mask = smoothed(logits.sigmoid())
        gain = scored.noticed(scored(torch.lerp(hidden, windows, _interpolated(mask, windows))) - emptied).clamp(min=0)
        heat = mask * rearrange(gain, "n -> n 1 1 1").to(mask)
    return InputMap(heat.float(), correlation_of_maps(mask, smoothed(earlier.sigmoid())).clamp(min=0).float())


def area_term(mask: Tensor, area: float) -> Tensor:
    """Return ‖vecsort(m) - r_a‖² of each mask (Fong et al. 2019, eq. 3), (N,).

    Args:
        mask: m, (N, t, h, w) in [0, 1].
        area: a, the share of r_a that is 1; the rest is 0.

    Example:
        >>> area_term(torch.tensor([[[[1.0, 0.0, 0.0, 0.5]]]]), 0.25)
        tensor([0.2500])
    """
    ordered = rearrange(mask, "n t h w -> n (t h w)").sort(dim=1).values
    wanted = torch.zeros_like(ordered)
    wanted[:, ordered.shape[1] - round(area * ordered.shape[1]) :] = 1
    return reduce((ordered - wanted) ** 2, "n cells -> n", "sum")


def smoothed(mask: Tensor) -> Tensor:
    """Return the max-convolution of a mask with a Gaussian kernel (Fong et al. 2019, eq. 4), (N, t, h, w).

        m(u) = smax over v of k(u - v) m(v),  k(d) = exp(-|d|²) up to one cell along each axis

    smax is the mean weighted by exp(value / 0.05). What is outside the mask is 0.

    Args:
        mask: (N, t, h, w) in [0, 1].

    Example:
        >>> one = torch.zeros(1, 1, 1, 5); one[..., 2] = 1
        >>> [round(float(v), 2) for v in smoothed(one).flatten()]
        [0.0, 0.36, 1.0, 0.36, 0.0]
    """
    padded, (t, h, w) = F.pad(mask, [1] * 6), mask.shape[1:]
    near = torch.stack(
        [
            padded[:, a : a + t, b : b + h, c : c + w] * exp(-((a - 1) ** 2) - (b - 1) ** 2 - (c - 1) ** 2)
            for a, b, c in product(range(3), repeat=3)
        ]
    )
    weights = (near / _TEMPERATURE).softmax(0)
    return reduce(weights * near, "offsets n t h w -> n t h w", "sum")


def _interpolated(mask: Tensor, windows: Tensor) -> Tensor:
    """Return masks (N, t, h, w) interpolated to windows (N, 3, T, H, W), (N, 1, T, H, W) like the windows."""
    return F.interpolate(mask[:, None], size=windows.shape[2:], mode="trilinear", align_corners=False).to(windows)
