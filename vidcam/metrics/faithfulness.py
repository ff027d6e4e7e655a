"""Faithfulness: perturbed clips that show only the evidence of a map, and measures of the network's confidence in them.

Frames are float pixels (3, T, H, W) in 0..255, before a network's preprocessing; a mask is (T, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.errors import SettingsError

Fill = Literal["black", "mean", "blur", "freeze"]
FILLS: tuple[Fill, ...] = get_args(Fill)


def filling(frames: Tensor, fill: Fill) -> Tensor:
    """Return the pixels that replace what a map hides, of the frames' shape (3, T, H, W).

    "black"; "mean", the mean colour of the frames; "blur", every frame blurred beyond recognition, with a Gaussian of
    a tenth of its shorter side; "freeze", the first frame repeated, which keeps appearance and removes motion.

    Args:
        frames: (3, T, H, W) in 0..255.
        fill: one of `FILLS`.

    Raises:
        SettingsError: there is no such fill.
    """
    match fill:
        case "black":
            return torch.zeros_like(frames)
        case "mean":
            return frames.mean((1, 2, 3), keepdim=True).expand_as(frames)
        case "blur":
            pictures = rearrange(frames, "c t h w -> t h w c").contiguous().numpy()
            sigma = min(frames.shape[2:]) / 10
            blurred = torch.from_numpy(np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in pictures]))
            return rearrange(blurred, "t h w c -> c t h w")
        case "freeze":
            return frames[:, :1].expand_as(frames)
    raise SettingsError(f"there is no fill {fill!r}; choose one of {', '.join(FILLS)}")


def explanation_clip(frames: Tensor, mask: Tensor, hidden: Tensor) -> Tensor:
    """Return the clip masked by a map: mask x frames + (1 - mask) x hidden, (3, T, H, W).

    With black as `hidden` it is the explanation map of Chattopadhyay et al. 2018 (arXiv 1710.11063, section 4.1).

    Args:
        frames: (3, T, H, W) in 0..255.
        mask: (T, H, W) in [0, 1].
        hidden: (3, T, H, W), see `filling`.
    """
    return mask * frames + (1 - mask) * hidden


def average_drop(whole: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the drop in confidence of each clip in percent, 100 max(0, Y - O) / Y, (N,).

    The mean is the Average Drop % of Chattopadhyay et al. 2018 (arXiv 1710.11063), section 4.1. Lower is better, and a
    map of ones has none.

    Args:
        whole: (N,) Y, the class's probability in the whole clip, more than 0.
        seen: (N,) O, its probability in the explanation clip.
    """
    return np.asarray(100 * np.clip(whole - seen, 0, None) / whole)


def increase_in_confidence(whole: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return 100 for each clip whose explanation clip scores more than the whole clip, else 0, (N,).

    The mean is the Increase in Confidence % of the paper of `average_drop`.

    Args:
        whole, seen: (N,) as for `average_drop`.
    """
    return 100.0 * (seen > whole)


def wins(seen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return 100 for each clip in which a method keeps the most confidence of all, shared among equals; else 0.

    The mean is Win % (same source); for two methods the two sum to 100.

    Args:
        seen: method → (N,) probabilities in its explanation clips.

    Returns:
        Method → (N,).
    """
    stacked = np.stack(list(seen.values()))
    best = stacked == stacked.max(axis=0)
    return dict(zip(seen, 100 * best / best.sum(axis=0)))


def rearranged(heat: np.ndarray, seed: int) -> np.ndarray:
    """Return the values of a map (t, h, w) in random order: the same area and strength without information.

    A map that shows more of the clip loses less confidence, whatever it explains; this measures the effect of its area
    alone (the objection of Poppi et al. 2021, arXiv 2104.10252).
    """
    return np.random.default_rng(seed).permutation(heat.ravel()).reshape(heat.shape)
