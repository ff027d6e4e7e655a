"""TSM: ResNet-50 on each frame, whose residual blocks take a part of their channels from the frames beside it.

Lin et al. 2019, arXiv 1811.08383.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.models import torchvision


class TemporalShift(nn.Module):
    """A layer that sees an eighth of the channels of the next frame, and an eighth of those of the one before.

    Args:
        net: the layer, of frames (N·T, C, H, W).
        frames: T.
    """

    def __init__(self, net: nn.Module, frames: int) -> None:
        super().__init__()
        self.net, self.frames = net, frames

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for (N·T, C, H, W); beyond the first and the last frame there are zeros."""
        x = rearrange(x, "(n t) c h w -> n t c h w", t=self.frames)
        fold = x.shape[2] // 8
        following, before, same = x[:, :, :fold], x[:, :, fold : 2 * fold], x[:, :, 2 * fold :]
        following = torch.cat([following[:, 1:], torch.zeros_like(following[:, :1])], dim=1)
        before = torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], dim=1)
        out: Tensor = self.net(torch.cat([following, before, same], dim=2).flatten(0, 1))
        return out


class Frames(nn.Module):
    """The features of frames as those of a window, so that a map has a time axis."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, T, H, W) from (N·T, C, H, W)."""
        return rearrange(x, "(n t) c h w -> n c t h w", t=self.frames)


class TSM(nn.Module):
    """TSM on ResNet-50, with the shift inside each residual block.

    Parameters are named as in the checkpoints of github.com/mit-han-lab/temporal-shift-module.

    Args:
        num_classes: outputs of the classifier.
        frames: frames per window, T.
    """

    def __init__(self, num_classes: int = 400, frames: int = 8) -> None:
        super().__init__()
        resnet = torchvision.build("resnet50", num_classes)
        for name, block in list(resnet.named_modules()):
            if name.count(".") == 1 and name.startswith("layer"):
                block.conv1 = TemporalShift(block.get_submodule("conv1"), frames)
        self.base_model = nn.Sequential(
            OrderedDict(list(resnet.named_children())[:-2])
        )  # without its pool and classifier
        self.features = Frames(frames)
        self.new_fc = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), averaged over the frames of windows (N, 3, T, H, W)."""
        features = self.features(self.base_model(rearrange(x, "n c t h w -> (n t) c h w")))
        scores: Tensor = self.new_fc(features.mean((2, 3, 4)))
        return scores
