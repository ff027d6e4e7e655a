"""Methods that hide parts of a window and compare scores. They need no gradient and no layer of the network.

Each takes the windows and their scores and returns maps (N, t, h, w) of what raises the score; what lowers it is 0. The
first line of a docstring is its line in `vidcam methods`.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from torch import Tensor

from vidcam.cam.hiding import absent, block_indices, random_mask
from vidcam.cam.scored import InputMap, ScoredWindows, agreement_of_halves, captum
from vidcam.cam.shapley import shapley_values
from vidcam.errors import SettingsError

RISE_PASSES, OCCLUSION_PASSES, SHAPLEY_PASSES = 300, 200, 256
"""Passes for each window and target if none are given."""

_RISE_GRID = (8, 14, 14)  # two for each cell of a mask
_STEPS = 4  # of blocks in time


@torch.no_grad()
def rise(scored: ScoredWindows) -> InputMap:
    """RISE (Petsiuk et al. 2018, arXiv 1806.07421, eq. 6), over time and space: random parts are shown.

    The masks are those of the paper's section 3.2 with time as a third axis, the same for all windows: a grid of cells,
    each shown with probability 0.5, interpolated to the window and shifted by less than a cell. What is hidden is by
    default the window's middle frame, blurred. See `rise_map`. 300 passes by default.

    Returns:
        Maps of 8x14x14, or fewer for small windows.

    Raises:
        SettingsError: the passes do not suffice for two halves.
    """
    windows, size = scored.windows, scored.windows.shape[2:]
    passes = scored.params.passes or RISE_PASSES
    if passes < 2:
        raise SettingsError(f"rise takes 2 passes or more, and {passes} is given; give more passes")
    grid = (min(_RISE_GRID[0], size[0]), min(_RISE_GRID[1], size[1]), min(_RISE_GRID[2], size[2]))
    hidden = absent(windows, scored.params.absence("frozen-blurred"))
    generator, masks, scores = torch.Generator().manual_seed(0), [], []
    for _ in range(passes):
        mask = random_mask(size, generator).to(windows)
        scores.append(scored(torch.lerp(hidden, windows, mask)))
        masks.append(F.adaptive_avg_pool3d(mask[None, None], grid)[0, 0])
    of_masks, of_scores = torch.stack(masks).to(scores[0]), torch.stack(scores, 1)
    of_scores = scored.noticed(of_scores - of_scores.mean(1, keepdim=True))
    halves = (rise_map(of_masks[half::2], of_scores[:, half::2]) for half in (0, 1))
    return InputMap(rise_map(of_masks, of_scores).float(), agreement_of_halves(*halves))


def rise_map(masks: Tensor, scores: Tensor) -> Tensor:
    """Return the maps of RISE (arXiv 1806.07421, eq. 6), (N, T, H, W), 0 or more.

        L = relu(Σ_m (S_m - mean S) M_m / Σ_m M_m)

    S_m is the score of the window that shows what mask M_m shows. The paper's sum of S_m M_m is this map plus mean S,
    which is the same everywhere and means nothing for a score before softmax.

    Args:
        masks: M, (M, T, H, W) in [0, 1].
        scores: S, (N, M).
    """
    centred = scores - scores.mean(1, keepdim=True)
    shown = reduce(masks, "m t h w -> t h w", "sum").clamp(min=torch.finfo(masks.dtype).eps)
    return (einsum(centred, masks, "n m, m t h w -> n t h w") / shown).clamp(min=0)


@torch.no_grad()
def occlusion(scored: ScoredWindows) -> InputMap:
    """Occlusion (Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2), over time and space: one block is hidden at a time.

        L(block) = relu(S - S without the block)

    The window is cut into blocks, 4 in time and as many in height and width, no more than passes less one. A block is
    hidden by default by the window's middle frame. Computed by captum. 200 passes by default: 4x7x7 blocks.

    Returns:
        Maps with a value for each block, (N, t, h, w).

    Raises:
        SettingsError: captum is not installed, or the passes do not suffice for a block.
    """
    windows, size = scored.windows, scored.windows.shape[2:]
    passes = scored.params.passes or OCCLUSION_PASSES
    if passes < 2:
        raise SettingsError(f"occlusion of a block takes 2 passes, and {passes} is given; give more passes")
    steps = min(_STEPS, size[0], passes - 1)
    side = isqrt((passes - 1) // steps)
    grid = (steps, min(side, size[1]), min(side, size[2]))
    blocks = block_indices(size, grid).to(windows.device)
    found = captum().FeatureAblation(scored).attribute(
        windows, baselines=absent(windows, scored.params.absence("frozen")), feature_mask=blocks[None, None]
    )  # fmt: skip
    t, h, w = (_first(cells, pixels) for cells, pixels in zip(grid, size))
    of_blocks = scored.noticed(found[:, 0][:, t][:, :, h][:, :, :, w])
    return InputMap(of_blocks.clamp(min=0).float())


@torch.no_grad()
def shapley(scored: ScoredWindows) -> InputMap:
    """Shapley values of stretches of time (Shapley 1953; Lundberg and Lee 2017, arXiv 1705.07874, eq. 4).

    A window is cut into stretches, 8 by default, and the value of a set of them is the score of the window in which the
    others are hidden, by default by its middle frame. Exact if the passes suffice for all sets; otherwise the mean over
    random orders (Castro et al. 2009), computed by captum. 256 passes by default, which are all sets of 8 stretches.

    Returns:
        Maps (N, T, 1, 1) with the value of the stretch that a frame is in: they show when, and not where.

    Raises:
        SettingsError: captum is not installed, or the passes do not suffice for two orders.
    """
    frames = scored.windows.shape[2]
    count, passes = min(scored.params.stretches, frames), scored.params.passes or SHAPLEY_PASSES
    stretch_of = torch.arange(frames, device=scored.windows.device) * count // frames
    hidden = absent(scored.windows, scored.params.absence("frozen"))
    exact = count <= 16 and 1 << count <= passes
    values, converged = (
        (_exact(scored, hidden, stretch_of, count), None)
        if exact
        else _sampled(scored, hidden, stretch_of, count, passes)
    )
    heat = scored.noticed(values).clamp(min=0)[:, stretch_of.to(values.device)]
    return InputMap(rearrange(heat, "n t -> n t 1 1").float(), converged)


def _exact(scored: ScoredWindows, hidden: Tensor, stretch_of: Tensor, count: int) -> Tensor:
    """Return the Shapley value of each stretch, (N, count), from the scores of all sets of stretches."""
    values = []
    for chosen in range(1 << count):
        shown = rearrange((chosen >> stretch_of) & 1 == 1, "t -> 1 1 t 1 1")
        values.append(scored(torch.where(shown, scored.windows, hidden)))
    of_sets = torch.stack(values, 1).double().cpu().numpy()
    return torch.from_numpy(np.stack([shapley_values(of_window) for of_window in of_sets]))


def _sampled(
    scored: ScoredWindows, hidden: Tensor, stretch_of: Tensor, count: int, passes: int
) -> tuple[Tensor, Tensor]:
    """Return the Shapley value of each stretch over random orders, (N, count), and the convergence, (N,)."""
    orders = (passes // 2 - 1) // count  # of each half; captum runs the hidden window once more
    if orders < 1:
        raise SettingsError(
            f"two orders of {count} stretches take {2 * (count + 1)} passes, and {passes} are given; give more passes, or fewer "
            "stretches"
        )
    method, halves = captum().ShapleyValueSampling(scored), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(2):
            found = method.attribute(
                scored.windows,
                baselines=hidden,
                feature_mask=rearrange(stretch_of, "t -> 1 1 t 1 1"),
                n_samples=orders,
            )
            halves.append(found[:, 0, _first(count, len(stretch_of)), 0, 0])
    return (halves[0] + halves[1]) / 2, agreement_of_halves(*halves)


def _first(parts: int, pixels: int) -> Tensor:
    """Return the first pixel of each part of a row that is cut as by `block_indices`, (parts,)."""
    return (torch.arange(parts) * pixels + parts - 1) // parts
