"""A small CNN over frames with a recurrent head, for the playground."""

from __future__ import annotations

from einops import rearrange, reduce
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.playground.frame_cnn import FrameCNN
from vidcam.playground.spec import bundled_spec


class RecurrentFrames(nn.Module):
    """A 2D CNN on each frame, and a gated recurrent unit over time at each place of its features.

    The unit is that of Cho et al. 2014 (arXiv 1406.1078), in both directions of time, run over a grid of features as in
    GRU-RCN with kernels of 1x1 (Ballas et al. 2016, arXiv 1511.06432). The CNN sees no motion: the recurrent unit alone
    finds it. The window is 8 frames of 112x112 pixels; `cnn` gives (8, 128, 14, 14), the frames in the batch.

    Args:
        num_classes: of the output.
        hidden: units of the state, in each direction.
    """

    def __init__(self, num_classes: int, hidden: int = 96) -> None:
        super().__init__()
        self.cnn = FrameCNN()
        self.gru = nn.GRU(128, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, 128)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(128, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return what the head reads, (N, 128, T, H/8, W/8), from windows (N, 3, T, H, W)."""
        frames = self.cnn(x)
        height, width = frames.shape[2:]
        states, _ = self.gru(rearrange(frames, "(n t) c h w -> (n h w) t c", n=len(x)))
        return rearrange(self.relu(self.project(states)), "(n h w) t c -> n c t h w", h=height, w=width)

    def scores(self, features: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), from `features`."""
        out: Tensor = self.fc(reduce(features, "n c t h w -> n c", "mean"))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, H, W)."""
        return self.scores(self.features(x))


RECURRENT = bundled_spec("playground-gru", RecurrentFrames, "cnn", layout=Layout("(n t) c h w"), frames=8)
