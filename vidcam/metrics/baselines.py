"""Baselines: maps that do not depend on the network. A useful method beats them.

Each is a map (F, H, W), 0 or more, of frames (F, H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def centre(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a Gaussian in the centre of every frame, with a standard deviation of a quarter of the frame's side."""
    count, height, width = frames.shape[:3]
    y = np.exp(-0.5 * ((np.arange(height) + 0.5 - height / 2) / (height / 4)) ** 2)
    x = np.exp(-0.5 * ((np.arange(width) + 0.5 - width / 2) / (width / 4)) ** 2)
    return np.broadcast_to((y[:, None] * x[None, :]).astype(np.float32), (count, height, width))


def ones(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a map of ones, which hides nothing."""
    return np.ones(frames.shape[:3], np.float32)


def motion(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the motion energy: absolute differences of neighbouring frames, blurred by 1/28 of the frame's height."""
    grey = frames.mean(axis=3, dtype=np.float32)
    change = np.abs(np.diff(grey, axis=0, append=grey[-2:-1] if len(grey) > 1 else grey))
    return np.stack([cv2.GaussianBlur(frame, (0, 0), frames.shape[1] / 28) for frame in change])


def random(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return smooth noise, as coarse as a class activation map."""
    count, height, width = frames.shape[:3]
    noise = np.random.default_rng(seed).random((max(1, count // 2), 14, 14), np.float32)
    grid = noise[np.arange(count) * len(noise) // count]
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in grid])


BASELINES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "centre": centre,
    "ones": ones,
    "motion": motion,
    "random": random,
}
