"""Check of a map: hiding its hottest parts must cost more of the score than hiding as many parts at random.

A window is cut into blocks of time and space. The hottest tenth of them is hidden, and tenths at random; the network
scores each. Blocks are hidden by the window's middle frame, which removes movement, or by a blur if a network that sees
appearance keeps its score without movement, or as the recipe says. This is one step of the deletion curve of Petsiuk et al. 2018
(arXiv 1806.07421), with its chance level beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vidcam.cam.hiding import absent, block_indices
from vidcam.cam.inputs import forward
from vidcam.models.registry import Model
from vidcam.results.check import Check

SHARE = 0.1
RANDOM = 19  # choices of random parts; 1 map in 20 passes by chance
_BLOCKS = (4, 7, 7)  # in time, height and width, at most
_BATCH = 8
_REMOVED = 0.5  # share of the score, above that of chance, that hiding the whole window must cost
_ODDS = 4.0  # least ratio of the odds of a probability to those of chance


def check(
    model: Model,
    window: Tensor,
    heat: np.ndarray,
    score: Callable[[Any], Tensor],
    times: tuple[float, float],
    chance: float = 0.0,
    absence: str = "auto",
) -> Check:
    """Return the check of a map in one window. Runs the network on the window, on it hidden whole, and 20 times in part.

    Args:
        model: the network.
        window: its input, (3, T, H, W), normalised.
        heat: (T, h, w) the map of the window's frames, on the part of the frame that the network sees.
        score: returns the target's score (N,) in the network's output.
        times: seconds of the window's first and last frame.
        chance: the probability of the class for a network that knows nothing, in (0, 1); 0 if there is none.
        absence: what stands in the place of what is hidden, one of `vidcam.cam.hiding.ABSENT`; "auto" for the middle
            frame, or a blur if hiding the whole window by the middle frame costs less than half of the score.

    Raises:
        VidcamError: the network cannot be run.
    """
    blocks, block_of = _in_blocks(torch.from_numpy(np.ascontiguousarray(heat, np.float32)), window.shape[1:])
    kinds = ("frozen", "blurred") if absence == "auto" else (absence,)
    fills = {kind: absent(window[None], kind)[0] for kind in kinds}
    whole, *emptied = _scores(model, torch.stack([window, *fills.values()]), score)
    most = _REMOVED * (abs(whole) - chance)
    by, empty = next(
        ((name, left) for name, left in zip(fills, emptied) if whole - left >= most),
        (kinds[-1], min(emptied)),
    )
    count = max(1, round(SHARE * len(blocks)))
    generator = np.random.default_rng(0)
    *chosen, order = (generator.permutation(len(blocks)) for _ in range(RANDOM + 1))
    chosen.insert(0, order[np.argsort(-blocks[order], kind="stable")])  # blocks of the same heat at random
    hidden = [torch.where(_mask(picked[:count], block_of).to(window.device), fills[by], window) for picked in chosen]
    hottest, *random = _scores(model, torch.stack(hidden), score)
    untested = ""
    if chance and whole * (1 - chance) < _ODDS * chance * (1 - whole):
        untested = f"its probability in its best window, {whole:.2g}, is near that of chance, {chance:.2g}"
    elif not np.isfinite([empty, hottest, *random]).all():
        untested = "with parts hidden its score is not a finite number"
    elif whole - empty < most:
        untested = f"the score in its best window, {whole:.2g}, is still {empty:.2g} with the whole window hidden"
    elif not heat.any():
        untested = "the map of its best window is empty"
    return Check(count / len(blocks), *times, by, whole, hottest, tuple(random), untested)


def _in_blocks(heat: Tensor, size: torch.Size) -> tuple[np.ndarray, Tensor]:
    """Return the mean heat of each block, (B,), and the block of each pixel, (T, H, W), for a map (T, h, w)."""
    grid = (min(_BLOCKS[0], size[0]), min(_BLOCKS[1], size[1]), min(_BLOCKS[2], size[2]))
    pixels = F.interpolate(heat[None, None], size=tuple(size), mode="trilinear", align_corners=False)
    blocks = F.adaptive_avg_pool3d(pixels, grid).flatten().numpy()
    return blocks, block_indices(size, grid)


def _mask(picked: np.ndarray, block_of: Tensor) -> Tensor:
    """Return True at the pixels of the picked blocks, (1, T, H, W)."""
    return rearrange(torch.isin(block_of, torch.from_numpy(picked)), "t h w -> 1 t h w")


@torch.inference_mode()
def _scores(model: Model, windows: Tensor, score: Callable[[Any], Tensor]) -> list[float]:
    found: list[float] = []
    for batch in torch.split(windows, _BATCH):
        found += score(forward(model.network, model.spec.pack(batch))).float().tolist()
    return found
