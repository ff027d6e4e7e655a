"""I3D: Inception inflated to time (Carreira and Zisserman 2017, arXiv 1705.07750)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MIXED = {  # channels of the four branches: 1x1; 1x1 then 3x3; 1x1 then 3x3; 1x1 behind the pool
    "3b": (192, (64, 96, 128, 16, 32, 32)),
    "3c": (256, (128, 128, 192, 32, 96, 64)),
    "4b": (480, (192, 96, 208, 16, 48, 64)),
    "4c": (512, (160, 112, 224, 24, 64, 64)),
    "4d": (512, (128, 128, 256, 24, 64, 64)),
    "4e": (512, (112, 144, 288, 32, 64, 64)),
    "4f": (528, (256, 160, 320, 32, 128, 128)),
    "5b": (832, (256, 160, 320, 32, 128, 128)),
    "5c": (832, (384, 192, 384, 48, 128, 128)),
}


class Unit(nn.Module):
    """Convolution, batch norm, rectifier; padded as TensorFlow pads, with the odd pixel after the end."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, *, plain: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.plain = (kernel,) * 3, (stride,) * 3, plain
        self.conv3d = nn.Conv3d(channels_in, channels_out, kernel, stride, bias=plain)
        if not plain:
            self.bn = nn.BatchNorm3d(channels_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', T', H', W') from (N, C, T, H, W): sizes divided by the stride and rounded up."""
        x = self.conv3d(_padded(x, self.kernel, self.stride))
        return x if self.plain else F.relu(self.bn(x))


class Pool(nn.MaxPool3d):
    """Max pooling, padded with zeros as TensorFlow pads; its input is rectified, so the zeros never exceed it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, T', H', W') from (N, C, T, H, W): sizes divided by the stride and rounded up."""
        return super().forward(_padded(x, self.kernel_size, self.stride))


class Mixed(nn.Module):
    """An inception module of four parallel branches."""

    def __init__(self, channels_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        w0, w1a, w1b, w2a, w2b, w3 = widths
        self.b0 = Unit(channels_in, w0)
        self.b1a, self.b1b = Unit(channels_in, w1a), Unit(w1a, w1b, 3)
        self.b2a, self.b2b = Unit(channels_in, w2a), Unit(w2a, w2b, 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(channels_in, w3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C', T, H, W) from (N, C, T, H, W)."""
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))]
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """The RGB stream of I3D for windows of 16 frames or more of 224x224 pixels.

    Parameters are named as in the public checkpoint `rgb_imagenet.pt` (Kinetics-400).
    """

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        for name, (channels_in, widths) in _MIXED.items():
            if name == "4b":
                self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
            if name == "5b":
                self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
            self.add_module(f"Mixed_{name}", Mixed(channels_in, widths))
        self.avg_pool = nn.AvgPool3d((2, 7, 7), (1, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.logits = Unit(1024, num_classes, plain=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, 224, 224), averaged over time."""
        for name, module in self.named_children():
            if name == "avg_pool":
                break
            x = module(x)
        scores: Tensor = self.logits(self.dropout(self.avg_pool(x)))
        return scores.mean((2, 3, 4))


def _padded(x: Tensor, kernel: object, stride: object) -> Tensor:
    assert isinstance(kernel, tuple) and isinstance(stride, tuple)
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (s if size % s == 0 else size % s), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)
