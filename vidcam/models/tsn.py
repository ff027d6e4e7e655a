"""TSN: ResNet-50 on each frame; the scores of frames are averaged. Wang et al. 2016, arXiv 1608.00859."""

from __future__ import annotations

from collections import OrderedDict

from einops import rearrange
from torch import Tensor, nn

from vidcam.models import torchvision


class Frames(nn.Module):
    """The features of frames as those of a window, so that a map has a time axis.

    Args:
        frames: frames per window, T.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, T, H, W) from (N·T, C, H, W)."""
        return rearrange(x, "(n t) c h w -> n c t h w", t=self.frames)


class TSN(nn.Module):
    """TSN on ResNet-50.

    Parameters are named as in the checkpoints of github.com/mit-han-lab/temporal-shift-module.

    Args:
        num_classes: outputs of the classifier.
        frames: frames per window, T.
    """

    def __init__(self, num_classes: int = 400, frames: int = 8) -> None:
        super().__init__()
        resnet = torchvision.build("resnet50", num_classes)
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
