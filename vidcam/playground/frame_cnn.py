"""The small 2D CNN that the playground's networks of frames share."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn


class FrameBlock(nn.Module):
    """The block of the small R(2+1)D with 1x1 convolutions in place of those over time; the output is rectified.

    `conv1` and `conv2` are each a 3x3 convolution, then a 1x1 convolution, with a norm behind both.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        middle = channels_out * 3 // 2
        self.conv1 = _convolutions(channels_in, middle, channels_out, kernel=3, stride=stride)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _convolutions(channels_out, middle, channels_out, kernel=3, stride=1)
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', H/stride, W/stride) from (N, C, H, W)."""
        out: Tensor = self.relu(self.conv2(self.relu(self.conv1(x))) + self.shortcut(x))
        return out


class FrameCNN(nn.Module):
    """A residual network that is run on each frame of a window, with the frames in the batch.

    It is `SmallR2Plus1D` without convolutions over time: its modules have the same names.

    Args:
        widths: channels of the stem's two convolutions, and of the three blocks.
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (24, 32, 48, 96, 128)) -> None:
        super().__init__()
        stem, out, first, second, third = widths
        self.stem = _convolutions(3, stem, out, kernel=5, stride=2).append(nn.ReLU(inplace=True))
        self.layer1 = FrameBlock(out, first, stride=2)
        self.layer2 = FrameBlock(first, second, stride=2)
        self.layer3 = FrameBlock(second, third, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N·T, C, H/8, W/8) from windows (N, 3, T, H, W): the frames of a window follow each other."""
        frames = rearrange(x, "n c t h w -> (n t) c h w")
        out: Tensor = self.layer3(self.layer2(self.layer1(self.stem(frames))))
        return out


def _convolutions(channels_in: int, middle: int, channels_out: int, *, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, middle, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out),
    )
