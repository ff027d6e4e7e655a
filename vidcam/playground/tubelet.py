"""A small video transformer with a class token, trained on the playground and bundled with vidcam."""

from __future__ import annotations

from collections import OrderedDict

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.playground.networks import SmallR2Plus1D
from vidcam.playground.spec import bundled_spec


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv 1706.03762, section 3.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.softmax = nn.Softmax(-1)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, L, width) from tokens (N, L, width)."""
        query, key, value = rearrange(self.qkv(x), "n l (qkv h d) -> qkv n h l d", qkv=3, h=self.heads)
        # Written out, so that the weights can be observed; in bfloat16 it trains faster than torch's fused attention.
        weights = self.softmax((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2))
        out: Tensor = self.proj(rearrange(weights @ value, "n h l d -> n l (h d)"))
        return out


class Block(nn.Module):
    """Attention and two linear layers, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, L, width) from tokens (N, L, width)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TubeletTransformer(nn.Module):
    """A transformer over tubelets of space and time that reads its scores from a class token.

    Attention joins space and time, as in ViViT (Arnab et al. 2021, arXiv 2103.15691, model 1). Tubelets are embedded from
    the features of a small convolutional network, the hybrid architecture of Dosovitskiy et al. 2021 (arXiv 2010.11929,
    section 3.1): the first half of the small R(2+1)D. The window is 16 frames of 112x112 pixels, its grid 8x7x7: a token
    for each 2x16x16, which sees 17 frames and 49x49 pixels around it before attention. The tokens of a block are
    (N, 1 + 392, width), the class token first.

    Args:
        num_classes: of the output.
        width: of a token.
        depth: blocks.
        heads: of the attention.
    """

    grid = (8, 7, 7)

    def __init__(self, num_classes: int, width: int = 96, depth: int = 3, heads: int = 3) -> None:
        super().__init__()
        time, height, across = self.grid
        convolutional = SmallR2Plus1D(1)
        self.trunk = nn.Sequential(
            OrderedDict((name, convolutional.get_submodule(name)) for name in ("stem", "layer1", "layer2"))
        )
        self.embed = nn.Conv3d(96, width, (1, 2, 2), (1, 2, 2))
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.time_embedding = nn.Parameter(0.02 * torch.randn(time, 1, width))
        self.place_embedding = nn.Parameter(0.02 * torch.randn(1, height * across, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax, (N, num_classes), of windows (N, 3, 16, 112, 112)."""
        return self.scores(self.trunk(x))

    def scores(self, features: Tensor) -> Tensor:
        """Return the class scores of `forward` from the trunk's features, (N, 96, 8, 14, 14)."""
        tokens = rearrange(self.embed(features), "n c t h w -> n (t h w) c")
        tokens = tokens + (self.time_embedding + self.place_embedding).flatten(0, 1)
        tokens = torch.cat([self.cls_token.expand(len(features), -1, -1).to(tokens.dtype), tokens], 1)
        out: Tensor = self.head(self.norm(self.blocks(tokens)[:, 0]))
        return out


TUBELET = bundled_spec(
    "playground-tubelet",
    TubeletTransformer,
    "blocks.0.norm1",
    layout=Layout("n (t h w) c", TubeletTransformer.grid),
    method="attnlrp",
    tokens="embed",
)
