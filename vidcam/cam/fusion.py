"""Fusion of the heatmaps of several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np

from vidcam.errors import one_of

Fusion = Literal["mean", "max"]
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)


def fuse(maps: Sequence[np.ndarray], how: Fusion = "mean") -> np.ndarray:
    """Return one heatmap per frame from the heatmaps of several layers, whose units differ.

    Each layer's maps are scaled by their largest value over the whole clip and brought to the finest grid by
    bilinear interpolation. Then "mean" averages them, and "max" takes the largest at each position, the
    element-wise fusion of LayerCAM (Jiang et al. 2021, IEEE TIP 30, section III-D).

    Args:
        maps: one (F, h, w) for each layer.
        how: "mean" or "max".

    Returns:
        (F, H, W) float32 in [0, 1], H and W the largest of the layers.

    Raises:
        SettingsError: `how` is neither.

    Example:
        >>> fuse([np.ones((4, 2, 2)), np.zeros((4, 8, 8))]).shape
        (4, 8, 8)
    """
    one_of(how, FUSIONS, "fusion")
    height, width = max(m.shape[1] for m in maps), max(m.shape[2] for m in maps)
    scaled = [np.stack([_resized(frame, height, width) for frame in m]) / (m.max(initial=0) or 1) for m in maps]
    fused = np.mean(scaled, 0) if how == "mean" else np.max(scaled, 0)
    return fused.astype(np.float32)


def _resized(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR))
