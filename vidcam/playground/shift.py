"""A small temporal-shift network, for the playground."""

from __future__ import annotations

from einops import reduce
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.models.tsm import TemporalShift
from vidcam.playground.frame_cnn import FrameBlock, FrameCNN
from vidcam.playground.spec import bundled_spec


class ShiftedFrames(nn.Module):
    """A 2D CNN whose convolutions see a quarter of their channels in the frames beside; scores are the mean over frames.

    Lin et al. 2019, arXiv 1811.08383. The window is 8 frames of 112x112 pixels; `cnn` gives (8, 128, 14, 14), the
    frames in the batch.

    Args:
        num_classes: of the output.
        frames: of a window.
    """

    def __init__(self, num_classes: int, frames: int = 8) -> None:
        super().__init__()
        self.cnn = FrameCNN()
        for block in self.cnn.blocks:
            assert isinstance(block, FrameBlock)
            block.conv1, block.conv2 = TemporalShift(block.conv1, frames), TemporalShift(block.conv2, frames)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, H, W)."""
        return self.scores(self.cnn(x), len(x))

    def scores(self, features: Tensor, windows: int) -> Tensor:
        """Return the class scores of `forward` from the CNN's features, (N·T, 128, h, w), of N windows."""
        of_frames = self.fc(self.pool(features).flatten(1))
        return reduce(of_frames, "(n t) classes -> n classes", "mean", n=windows)


SHIFT = bundled_spec("playground-tsm", ShiftedFrames, "cnn", layout=Layout("(n t) c h w"), frames=8)
