"""Preprocessing: from upright RGB frames to a network's normalised windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.errors import SettingsError

_LARGEST = 2**23  # pixels of a frame that is resized whole


@dataclass(frozen=True)
class Preprocess:
    """A network's preprocessing: resize, crop the centre, normalise.

    Attributes:
        resize: (height, width) in pixels that every frame is resized to, whatever its aspect ratio; or one number, the
            length of its shorter side, the aspect ratio kept.
        crop: (height, width) in pixels of the central crop.
        mean, std: per channel, in the order the network takes channels: (scale · pixel - mean) / std.
        scale: factor of a pixel value 0..255, applied first.
        bgr: True if the network takes blue, green, red.

    Raises:
        SettingsError: a size that is not positive, a crop larger than the resized frame, or a value that is not finite.

    Example:
        >>> preprocess = Preprocess(resize=128, crop=(112, 112), mean=(0.45,) * 3, std=(0.225,) * 3)
        >>> preprocess.frame(np.zeros((256, 512, 3), np.uint8)).shape
        (112, 112, 3)
        >>> preprocess.region(256, 512)
        (144.0, 16.0, 368.0, 240.0)
    """

    resize: tuple[int, int] | int
    crop: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1 / 255
    bgr: bool = False

    def __post_init__(self) -> None:
        resized = (self.resize, self.resize) if isinstance(self.resize, int) else tuple(self.resize)
        for name, size in (("resize", resized), ("crop", tuple(self.crop))):
            if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
                raise SettingsError(f"{name} is {size!r}; give (height, width) in whole pixels")
        if self.crop[0] > resized[0] or self.crop[1] > resized[1]:
            raise SettingsError(
                f"crop {self.crop!r} is larger than the frame after resize {self.resize!r}; give a smaller crop"
            )
        values = (*self.mean, *self.std, self.scale)
        if (
            len(self.mean) != 3
            or len(self.std) != 3
            or not all(map(math.isfinite, values))
            or 0 in (*self.std, self.scale)
        ):
            raise SettingsError(
                f"mean {self.mean!r}, std {self.std!r} and scale {self.scale!r} cannot normalise a frame; give three "
                "finite numbers each for mean and std, none of std 0, and a scale that is not 0"
            )

    def frame(self, pixels: np.ndarray) -> np.ndarray:
        """Return a frame (H, W, 3) uint8 RGB of any size resized and cropped: (crop height, crop width, 3) uint8 RGB."""
        height, width = self._resized(*pixels.shape[:2])
        if height * width > _LARGEST:  # a long strip: only what is seen of it is resized
            left, top, right, bottom = self.region(*pixels.shape[:2])
            seen = pixels[int(top) : max(int(top) + 1, round(bottom)), int(left) : max(int(left) + 1, round(right))]
            return cv2.resize(seen, self.crop[::-1], interpolation=cv2.INTER_LINEAR)
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        top, left = self._corner(height, width)
        return resized[top : top + self.crop[0], left : left + self.crop[1]]

    def of_crops(self) -> Preprocess:
        """Return the preprocessing of frames that are resized and cropped already, which only normalises."""
        return replace(self, resize=self.crop)

    def windows(self, frames: Sequence[Sequence[np.ndarray]]) -> Tensor:
        """Return the network's input (N, 3, T, H, W) float32 from cropped uint8 frames, N windows of T."""
        return self.normalized(stacked(frames))

    def normalized(self, frames: Tensor) -> Tensor:
        """Return the network's input (N, 3, T, H, W) float32 from cropped frames of that shape, uint8 RGB."""
        mean, std = (torch.tensor(v, device=frames.device).view(1, 3, 1, 1, 1) for v in (self.mean, self.std))
        values = (frames.flip(1) if self.bgr else frames).to(torch.float32, copy=True)
        return values.mul_(self.scale).sub_(mean).div_(std)

    def region(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return the part of a frame that the network sees: left, top, right, bottom in pixels of the frame.

        Args:
            height, width: of the frame in pixels.
        """
        resized = self._resized(height, width)
        (top, left), (h, w) = self._corner(*resized), self.crop
        x, y = width / resized[1], height / resized[0]
        return left * x, top * y, (left + w) * x, (top + h) * y

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        short = self.resize
        return (short, int(short * width / height)) if height <= width else (int(short * height / width), short)

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        return round((height - self.crop[0]) / 2), round((width - self.crop[1]) / 2)


def stacked(frames: Sequence[Sequence[np.ndarray]]) -> Tensor:
    """Return N windows of T frames (H, W, 3) as one (N, 3, T, H, W) uint8 tensor, channels last in memory."""
    pixels = torch.from_numpy(np.stack([frame for window in frames for frame in window]))
    return rearrange(pixels, "(n t) h w c -> n c t h w", n=len(frames))
