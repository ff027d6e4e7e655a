"""A small CNN over frames with a recurrent head, for the playground."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.playground.frame_cnn import FrameCNN
from vidcam.playground.spec import bundled_spec


class RecurrentFrames(nn.Module):
    """A 2D CNN on each frame, and a gated recurrent unit over their pooled features.

    The architecture is that of LRCN (Donahue et al. 2015, arXiv 1411.4389) with a GRU (Cho et al. 2014, arXiv
    1406.1078). The CNN sees no motion: it is found by the recurrent unit alone, in what the frames have in common. The
    window is 8 frames of 112x112 pixels; `cnn` gives (8, 128, 14, 14), the frames in the batch.

    Args:
        num_classes: of the output.
        hidden: units of the state.
    """

    def __init__(self, num_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.cnn = FrameCNN()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(128)
        self.gru = nn.GRU(128, hidden, num_layers=2, batch_first=True)
        self.fc = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, T, H, W)."""
        return self.scores(self.cnn(x), len(x))

    def scores(self, features: Tensor, windows: int) -> Tensor:
        """Return the class scores of `forward` from the CNN's features, (N·T, 128, h, w), of N windows."""
        pooled = rearrange(self.pool(features), "(n t) c 1 1 -> n t c", n=windows)
        states, _ = self.gru(self.norm(pooled))
        out: Tensor = self.fc(states.mean(1))
        return out


RECURRENT = bundled_spec("playground-gru", RecurrentFrames, "cnn", layout=Layout("(n t) c h w"), frames=8)
