"""Optical flow beside the frames, for networks of two streams (Simonyan and Zisserman 2014, arXiv 1406.2199)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.models.preprocess import Preprocess


@dataclass(frozen=True)
class RGBAndFlow:
    """A packer of windows for a network that takes frames and their optical flow, as two arguments.

    The flow is that of OpenCV's DIS (Kroeger et al. 2016, arXiv 1603.03590, medium preset, at whole resolution) between the grey values of
    successive frames, as they were resized and cropped. Explanations hold it constant: the two inputs are explained apart,
    each at a layer of its own stream.

    Attributes:
        preprocess: that made the windows; it is undone for the flow.
        bound: pixels from frame to frame that are 1 in the input; longer flow is cut. I3D has 20.

    Example:
        >>> preprocess = Preprocess(64, (64, 64), (0.45,) * 3, (0.225,) * 3)
        >>> frames, flow = RGBAndFlow(preprocess)(torch.zeros(1, 3, 8, 64, 64))
        >>> frames.shape, flow.shape
        (torch.Size([1, 3, 8, 64, 64]), torch.Size([1, 2, 8, 64, 64]))
    """

    preprocess: Preprocess
    bound: float = 20.0

    def __call__(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return windows (N, 3, T, H, W) unchanged, and their flow (N, 2, T, H, W), right and down, in [-1, 1].

        Step t is the flow from frame t to the next; the last is that of the step before, or 0 in a window of one frame.
        """
        flow = np.stack([self._of_window(pixels) for pixels in self._pixels(windows)])
        scaled = np.clip(flow / self.bound, -1, 1)
        return windows, rearrange(torch.from_numpy(scaled), "n t h w c -> n c t h w").to(windows)

    def _pixels(self, windows: Tensor) -> np.ndarray:
        """Return the frames of windows, (N, T, H, W, 3) uint8 RGB."""
        mean, std = (
            torch.tensor(value, device=windows.device).view(3, 1, 1, 1)
            for value in (self.preprocess.mean, self.preprocess.std)
        )
        pixels = (windows.float() * std + mean) / self.preprocess.scale
        if self.preprocess.bgr:
            pixels = pixels.flip(1)
        return rearrange(pixels.round().clamp(0, 255).byte(), "n c t h w -> n t h w c").cpu().numpy()

    def _of_window(self, pixels: np.ndarray) -> np.ndarray:
        """Return the flow of frames (T, H, W, 3) in pixels, (T, H, W, 2)."""
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pixels]
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setFinestScale(0)  # else flow spreads over the pixels beside what moves
        none = np.zeros((*pixels.shape[1:3], 2), np.float32)
        flows = [search.calc(a, b, None) for a, b in pairwise(greys)]  # type: ignore[call-overload]
        return np.stack([*flows, flows[-1] if flows else none])
