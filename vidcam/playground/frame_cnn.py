"""The small 2D CNN that the playground's networks of frames share."""

from __future__ import annotations

from itertools import pairwise

from einops import rearrange
from torch import Tensor, nn


class FrameBlock(nn.Module):
    """Two convolutions with a shortcut; the output is rectified (He et al. 2016, arXiv 1512.03385).

    The kernel is 3x3, or 4x4 with a stride of 2, so that a position lies in the middle of what it sees.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(channels_in, channels_out, stride + 2, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2: nn.Module = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, stride, stride, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', H/stride, W/stride) from (N, C, H, W)."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))


class FrameCNN(nn.Module):
    """A residual network that is run on each frame of a window, with the frames in the batch.

    Args:
        widths: channels of the stem and of each block.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 8, 4, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            *(
                FrameBlock(before, after, stride=2 if index == 0 else 1)
                for index, (before, after) in enumerate(pairwise(widths))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N·T, C, H/8, W/8) from windows (N, 3, T, H, W): the frames of a window follow each other."""
        out: Tensor = self.blocks(self.stem(rearrange(x, "n c t h w -> (n t) c h w")))
        return out
