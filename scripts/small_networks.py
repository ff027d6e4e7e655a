"""Small networks of the kinds that people have, with weights that are drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vidcam.models.torchvision_import import import_torchvision

FRAMES, SIZE, RATE = 8, (32, 48), 8
"""Frames per window, (height, width) in pixels and frames per second of the small networks."""
GRID = (FRAMES, 4, 6)
"""Places of the small networks' layers: one for each frame and 8x8 pixels."""


class Convolution(nn.Module):
    """A 3D convolution of patches whose mean is classified.

    Args:
        classes: outputs of the classifier.
        end: returns the network's output, given the scores (N, classes).
        middle: returns the features that are averaged, given those of the convolution, (N, 4, T, H, W).
    """

    def __init__(
        self, classes: int = 3, end: Callable[[Tensor], Any] = lambda scores: scores, middle: Any = nn.Identity()
    ) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8)), nn.ReLU()
        self.fc, self.end, self.middle = nn.Linear(4, classes), end, middle

    def features(self, x: Tensor) -> Tensor:
        """Return the features of windows, (N, 4, T, H, W)."""
        return self.middle(self.relu(self.conv(x)))

    def forward(self, x: Tensor) -> Any:
        """Return `end` of the scores of windows (N, 3, T, H, W)."""
        return self.end(self.fc(self.features(x).mean((2, 3, 4))))


class Frames(nn.Module):
    """A 2D convolution on each frame, and a head on the features of frames (N, T, 4).

    Args:
        head: "mean", "max", "LSTM", "GRU" or "attention".
        in_the_batch: True to run the convolution once on all frames, as rows of the batch; False to call it for each.
    """

    def __init__(self, head: str, in_the_batch: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.in_the_batch, self.head = nn.Conv2d(3, 4, 8, 8), in_the_batch, head
        if head in ("LSTM", "GRU"):
            self.recurrent = getattr(nn, head)(4, 4, batch_first=True)
        if head == "attention":
            self.attention = nn.Linear(4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        if self.in_the_batch:
            n, _, t, _, _ = x.shape
            steps = self.conv(x.transpose(1, 2).flatten(0, 1)).relu().mean((2, 3)).view(n, t, 4)
        else:
            steps = torch.stack([self.conv(frame).relu().mean((2, 3)) for frame in x.unbind(2)], 1)
        match self.head:
            case "mean":
                pooled = steps.mean(1)
            case "max":
                pooled = steps.amax(1)
            case "attention":
                pooled = (self.attention(steps).softmax(1) * steps).sum(1)
            case _:
                pooled = self.recurrent(steps)[0][:, -1]
        return self.fc(pooled)


class ConvolutionalRecurrence(nn.Module):
    """A convolution of each frame and of the state before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell, self.fc = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(8, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        frames = self.conv(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1))
        state = torch.zeros_like(frames[:, 0])
        for frame in frames.unbind(1):
            state = 0.5 * state + self.cell(torch.cat([frame, state], 1)).relu()
        return self.fc(state.mean((2, 3)))


class Siamese(nn.Module):
    """One convolution of both halves of a window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        before, after = (self.conv(half).relu().mean((2, 3, 4)) for half in x.chunk(2, 2))
        return self.fc(before + after)


class Block(nn.Module):
    """A block of a transformer: attention over all tokens and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.project = nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (N, L, 8)."""
        q, k, v = self.qkv(self.norm1(x)).chunk(3, 2)
        x = x + self.project(nn.functional.scaled_dot_product_attention(q, k, v))
        return x + self.mlp(self.norm2(x))


class Tokens(nn.Module):
    """A transformer of tokens in an order.

    Args:
        order: "t h w", "h w t", or "h w" for the tokens of each frame apart.
        reads: the token that is classified: "first" or "last", a class token there, or "mean" of all.
    """

    def __init__(self, order: str, reads: str) -> None:
        super().__init__()
        self.patch, self.order, self.reads = nn.Conv3d(3, 8, (1, 8, 8), (1, 8, 8)), order, reads
        self.token, self.blocks = nn.Parameter(torch.zeros(1, 1, 8)), nn.Sequential(Block(), Block())
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        x = self.patch(x).permute(0, *(2 + "thw".index(axis) for axis in self.order.split()), *self._frames(), 1)
        tokens = x.flatten(1, -2) if self.order != "h w" else x.permute(0, 3, 1, 2, 4).flatten(0, 1).flatten(1, 2)
        rows = self.token.expand(len(tokens), -1, -1)
        match self.reads:
            case "first":
                tokens = torch.cat([rows, tokens], 1)
            case "last":
                tokens = torch.cat([tokens, rows], 1)
        tokens = self.norm(self.blocks(tokens))
        read = {"first": tokens[:, 0], "last": tokens[:, -1], "mean": tokens.mean(1)}[self.reads]
        scores = self.fc(read)
        return scores.view(-1, FRAMES, 3).mean(1) if self.order == "h w" else scores

    def _frames(self) -> tuple[int, ...]:
        return (2,) if self.order == "h w" else ()


class ChannelsLast(Convolution):
    """A convolution whose block gives (N, T, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of windows (N, 3, T, H, W)."""
        return self.fc(self.block(self.features(x).movedim(1, -1)).relu().mean((1, 2, 3)))


class TwoInputs(nn.Module):
    """A stream of frames and a stream of another input, whose scores are added.

    Args:
        channels: of the other input.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.rgb, self.other = (nn.Conv3d(c, 4, (1, 8, 8), (1, 8, 8)) for c in (3, channels))
        self.fc = nn.Linear(4, 3)

    def forward(self, frames: Tensor, other: Tensor) -> Tensor:
        """Return the scores of frames (N, 3, T, H, W) and another input (N, channels, T, H, W)."""
        return self.fc(sum(conv(x).relu().mean((2, 3, 4)) for conv, x in ((self.rgb, frames), (self.other, other))))


class Pathways(TwoInputs):
    """Two streams given as one list."""

    def forward(self, pathways: list[Tensor]) -> Tensor:  # type: ignore[override]
        """Return the scores of frames and another input, (N, 3, T, H, W) each."""
        return super().forward(*pathways)


class Crops(Convolution):
    """A network that averages the scores of crops, (N, K, 3, T, H, W)."""

    def forward(self, x: Tensor) -> Any:
        """Return the scores of windows (N, K, 3, T, H, W)."""
        n, crops = x.shape[:2]
        return super().forward(x.flatten(0, 1)).view(n, crops, -1).mean(1)


class ScoresOfFrames(Convolution):
    """A network that scores frames, (N, T, classes)."""

    def forward(self, x: Tensor) -> Any:
        """Return the scores of the frames of windows."""
        return self.fc(self.features(x).mean((3, 4)).transpose(1, 2))


class Checkpointed(nn.Module):
    """A part that is computed again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.part, self.reentrant = nn.Conv3d(4, 4, 1), reentrant

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, 4, T, H, W)."""
        return checkpoint(self.part, x, use_reentrant=self.reentrant)


class InPlace(nn.Module):
    """A shortcut that is added in place, and a rectifier that works in place."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, 4, T, H, W)."""
        y = x.sigmoid()
        y -= 0.5
        y += x
        return y.relu_()


def resnet_of_frames() -> nn.Module:
    """Return torchvision's ResNet-18 on frames as rows of the batch, and the mean of its scores."""
    import_torchvision()
    import torchvision

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resnet = torchvision.models.resnet18(num_classes=3)

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.resnet(x.transpose(1, 2).flatten(0, 1))
            return scores.view(len(x), -1, 3).mean(1)

    return Mean()
