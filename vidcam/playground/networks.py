"""The two small networks of 3D convolutions that are trained on the playground and bundled with vidcam."""

from __future__ import annotations

from torch import Tensor, nn

from vidcam.models.c3d import C3D
from vidcam.playground.spec import bundled_spec


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, then one over time, rectified between (Tran et al. 2018, arXiv 1711.11248)."""

    def __init__(self, channels_in: int, middle: int, channels_out: int, *, space: int = 1, time: int = 1) -> None:
        super().__init__(
            nn.Conv3d(channels_in, middle, (1, 3, 3), (1, space, space), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, channels_out, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False),
            nn.BatchNorm3d(channels_out),
        )


class ResidualBlock(nn.Module):
    """Two (2+1)D convolutions with a shortcut; the output is rectified."""

    def __init__(self, channels_in: int, channels_out: int, *, space: int, time: int) -> None:
        super().__init__()
        middle = channels_out * 3 // 2
        self.conv1 = Conv2Plus1D(channels_in, middle, channels_out, space=space, time=time)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = Conv2Plus1D(channels_out, middle, channels_out)
        self.shortcut = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, 1, (time, space, space), bias=False), nn.BatchNorm3d(channels_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', T/time, H/space, W/space) from (N, C, T, H, W)."""
        out: Tensor = self.relu(self.conv2(self.relu(self.conv1(x))) + self.shortcut(x))
        return out


class SmallR2Plus1D(nn.Module):
    """An R(2+1)D whose last block has an eighth of the frame's side and half of the window's length.

    The window is 16 frames of 112x112 pixels; `layer3` is (128, 8, 14, 14). The head is global average
    pooling and one linear layer, as in R(2+1)D-18.

    Args:
        num_classes: of the output.
        widths: channels of the stem's convolutions over space and over time, and of the three blocks.
    """

    def __init__(self, num_classes: int, widths: tuple[int, int, int, int, int] = (24, 32, 48, 96, 128)) -> None:
        super().__init__()
        space, time, first, second, third = widths
        self.stem = nn.Sequential(
            nn.Conv3d(3, space, (1, 5, 5), (1, 2, 2), (0, 2, 2), bias=False),
            nn.BatchNorm3d(space),
            nn.ReLU(inplace=True),
            nn.Conv3d(space, time, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(time),
            nn.ReLU(inplace=True),
        )
        self.layer1 = ResidualBlock(time, first, space=2, time=2)
        self.layer2 = ResidualBlock(first, second, space=2, time=1)
        self.layer3 = ResidualBlock(second, third, space=1, time=1)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(third, num_classes)

    @property
    def temporal_stem(self) -> nn.Conv3d:
        """The first convolution over more than one frame."""
        convolution = self.stem[3]
        assert isinstance(convolution, nn.Conv3d)
        return convolution

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, H, W)."""
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        out: Tensor = self.fc(self.avgpool(x).flatten(1))
        return out


def small_c3d(num_classes: int) -> C3D:
    """Return a C3D with narrow layers: the architecture of the paper with about a sixtieth of its parameters."""
    return C3D(num_classes, widths=(16, 32, 64, 96, 96), hidden=128, pool5="ceil", dropout=0.0)


R2PLUS1D = bundled_spec("playground-r2plus1d", SmallR2Plus1D, "layer3")
SMALL_C3D = bundled_spec("playground-c3d", small_c3d, "relu4b")
