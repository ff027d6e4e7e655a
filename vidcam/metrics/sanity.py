"""Sanity checks: rank correlation of maps, randomised weights, flicker."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two maps of one shape; 0 if one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def stages(network: nn.Module) -> list[str]:
    """Return the names of a network's parts that have weights, from the input to the output.

    The parts are its children; if it has a single child with weights, the children of that.
    """
    prefix, module = "", network
    while True:
        parts = [(name, part) for name, part in module.named_children() if any(True for _ in part.parameters())]
        if len(parts) != 1:
            return [prefix + name for name, _ in parts] or [prefix.rstrip(".")]
        prefix, module = f"{prefix}{parts[0][0]}.", parts[0][1]


def cascading_randomisation(network: nn.Module, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield copies of a network whose weights are randomised from the output down, one more stage at a time.

    Adebayo et al. 2018 (arXiv 1810.03292, section 4.1). Layers are reset to their own initial distribution, other
    parameters drawn from a normal distribution of their mean and deviation. Parameters of the network itself, such as a
    class token and embeddings of positions, belong to the stage at the input.

    Yields:
        (stage, copy): everything from the output to that stage is random.
    """
    changed = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, *others = stages(network)
        for stage in [*reversed(others), first]:
            randomise(changed.get_submodule(stage))
            if stage == first:
                parts = first.split(".")
                for depth in range(len(parts)):
                    _draw(changed.get_submodule(".".join(parts[:depth])))
            yield stage, changed


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Randomise all weights of a module in place."""
    for part in module.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
        else:
            _draw(part)


@torch.no_grad()
def _draw(module: nn.Module) -> None:
    """Draw the parameters of a module itself from a normal distribution of their mean and deviation."""
    for parameter in module.parameters(recurse=False):
        spread = float(parameter.std()) if parameter.numel() > 1 else 1.0
        parameter.normal_(float(parameter.mean()), spread)


def flicker(heatmaps: np.ndarray) -> float:
    """Return the mean change of a pixel from frame to frame, relative to the clip's largest value; 0 for an empty map.

    Args:
        heatmaps: (F, H, W).
    """
    peak = float(heatmaps.max(initial=0.0))
    if peak <= 0 or len(heatmaps) < 2:
        return 0.0
    return float(np.abs(np.diff(heatmaps.astype(np.float64), axis=0)).mean()) / peak
