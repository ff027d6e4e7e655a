"""TSM: TSN whose residual blocks take a part of their channels from the frames beside it.

Lin et al. 2019, arXiv 1811.08383.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.models.tsn import TSN


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
        x = rearrange(x, "(n t) c h w -> n t h w c", t=self.frames)  # so that channels that lie last stay last
        fold = x.shape[-1] // 8
        following, before, same = x[..., :fold], x[..., fold : 2 * fold], x[..., 2 * fold :]
        following = torch.cat([following[:, 1:], torch.zeros_like(following[:, :1])], dim=1)
        before = torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], dim=1)
        shifted = torch.cat([following, before, same], dim=-1)
        out: Tensor = self.net(rearrange(shifted, "n t h w c -> (n t) c h w"))
        return out


class TSM(TSN):
    """TSM on ResNet-50, with the shift inside each residual block.

    Args:
        num_classes: outputs of the classifier.
        frames: frames per window, T.
    """

    def __init__(self, num_classes: int = 400, frames: int = 8) -> None:
        super().__init__(num_classes, frames)
        for name, block in list(self.base_model.named_modules()):
            if name.count(".") == 1 and name.startswith("layer"):
                block.conv1 = TemporalShift(block.get_submodule("conv1"), frames)
