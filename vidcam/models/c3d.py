"""C3D: eight 3x3x3 convolutions and five pools (Tran et al. 2015, arXiv 1412.0767)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vidcam.models.weights import State

Pool5 = Literal["ceil", "pad"]

_POOL5_SIDE = 4  # a 112 pixel frame is 7 at pool5, which either way of pooling makes 4


class C3D(nn.Module):
    """C3D for windows of 16 frames of 112x112 pixels.

    Each convolution is followed by a module of its own for the rectifier, so that `relu5b` names the
    rectified activation of the last convolution. Parameters are named as in the public checkpoints
    (`conv1` ... `conv5b`, `fc6`, `fc7`, `fc8`).

    Args:
        num_classes: outputs of fc8.
        widths: channels of the five convolution stages.
        hidden: outputs of fc6 and fc7.
        pool5: variant of the last pooling. "ceil" rounds the size up, as Caffe does; "pad" pads height and width by
            one on both sides, as other ports do. Both give 4x4, from windows shifted by a pixel.
        dropout: probability of zeroing a hidden unit while training.
    """

    def __init__(
        self,
        num_classes: int = 487,
        *,
        widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512),
        hidden: int = 4096,
        pool5: Pool5 = "ceil",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        self.conv1, self.relu1 = _conv(3, w1)
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.conv2, self.relu2 = _conv(w1, w2)
        self.pool2 = nn.MaxPool3d(2)
        self.conv3a, self.relu3a = _conv(w2, w3)
        self.conv3b, self.relu3b = _conv(w3, w3)
        self.pool3 = nn.MaxPool3d(2)
        self.conv4a, self.relu4a = _conv(w3, w4)
        self.conv4b, self.relu4b = _conv(w4, w4)
        self.pool4 = nn.MaxPool3d(2)
        self.conv5a, self.relu5a = _conv(w4, w5)
        self.conv5b, self.relu5b = _conv(w5, w5)
        self.pool5 = nn.MaxPool3d(2, ceil_mode=True) if pool5 == "ceil" else nn.MaxPool3d(2, padding=(0, 1, 1))
        self.fc6, self.relu6 = nn.Linear(w5 * _POOL5_SIDE**2, hidden), nn.ReLU()
        self.fc7, self.relu7 = nn.Linear(hidden, hidden), nn.ReLU()
        self.fc8 = nn.Linear(hidden, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, 16, 112, 112)."""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.pool3(self.relu3b(self.conv3b(self.relu3a(self.conv3a(x)))))
        x = self.pool4(self.relu4b(self.conv4b(self.relu4a(self.conv4a(x)))))
        x = self.pool5(self.relu5b(self.conv5b(self.relu5a(self.conv5a(x)))))
        x = x.flatten(1)
        x = self.dropout(self.relu6(self.fc6(x)))
        x = self.dropout(self.relu7(self.fc7(x)))
        out: Tensor = self.fc8(x)
        return out


def renamed(state: State) -> State:
    """Return a public checkpoint under the names of `C3D`; unknown names are unchanged.

    Known are `features.{0,3,...,18}` and `classifier.{0,3}` (jfzhang95's c3d-pretrained.pth) and mmaction2's
    `conv1a.conv` ... `fc7`, with `backbone.` and `cls_head.fc_cls` in its recognizers.
    """
    names = {}
    for name in state:
        stem, _, parameter = name.removeprefix("backbone.").rpartition(".")
        names[name] = f"{_NAMES.get(stem, stem)}.{parameter}" if stem else name
    return {names[name]: value for name, value in state.items()}


_CONVOLUTIONS = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")
_NAMES = {
    **{f"features.{i}": name for i, name in zip((0, 3, 6, 8, 11, 13, 16, 18), _CONVOLUTIONS)},
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "conv1a.conv": "conv1",
    "conv2a.conv": "conv2",
    **{f"{name}.conv": name for name in _CONVOLUTIONS[2:]},
    "cls_head.fc_cls": "fc8",
}


def _conv(channels_in: int, channels_out: int) -> tuple[nn.Conv3d, nn.ReLU]:
    return nn.Conv3d(channels_in, channels_out, 3, padding=1), nn.ReLU()
