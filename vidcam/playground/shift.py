"""A small temporal-shift network, for the playground."""

from __future__ import annotations

from einops import rearrange, reduce
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.models.tsm import TemporalShift
from vidcam.playground.frame_cnn import FrameCNN
from vidcam.playground.spec import bundled_spec


class ShiftedFrames(nn.Module):
    """A 2D CNN whose 1x1 convolutions see a quarter of their channels in the frames beside.

    Lin et al. 2019, arXiv 1811.08383; a score is the mean over frames. The window is 8 frames of 112x112 pixels; `cnn`
    gives (8, 128, 14, 14), the frames in the batch.

    Args:
        num_classes: of the output.
        frames: of a window.
    """

    def __init__(self, num_classes: int, frames: int = 8) -> None:
        super().__init__()
        self.cnn = FrameCNN()
        for name, module in list(self.cnn.named_modules()):
            if isinstance(module, nn.Conv2d) and name.endswith(".3"):
                part = self.cnn.get_submodule(name.removesuffix(".3"))
                assert isinstance(part, nn.Sequential)
                part[3] = TemporalShift(module, frames)
        self.fc = nn.Linear(128, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return what the head reads, (N, 128, T, H/8, W/8), from windows (N, 3, T, H, W)."""
        return rearrange(self.cnn(x), "(n t) c h w -> n c t h w", n=len(x))

    def scores(self, features: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), from `features`."""
        out: Tensor = self.fc(reduce(features, "n c t h w -> n c", "mean"))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, H, W)."""
        return self.scores(self.features(x))


SHIFT = bundled_spec("playground-tsm", ShiftedFrames, "cnn", layout=Layout("(n t) c h w"), frames=8)
