from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.layers import space_time_layers
from vidcam.cam.layout import Layout
from vidcam.models.registry import load_model


class Branches(nn.Module):
    """Strided, dilated and pooled convolutions, a shortcut, a squeeze over everything and attention at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 4, (1, 5, 5), (1, 2, 2), (0, 2, 2))
        self.pool = nn.MaxPool3d((1, 3, 3), 2, (0, 1, 1))
        self.conv = nn.Conv3d(4, 4, 3, padding=2, dilation=2)
        self.relu = nn.ReLU()
        self.squeeze = nn.AdaptiveAvgPool3d(1)
        self.join = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        x = self.relu(x + self.conv(x))
        return self.join(x * self.squeeze(x))


def test_strides_and_receptive_fields_by_hand() -> None:
    found = space_time_layers(Branches().eval(), torch.zeros(1, 3, 9, 32, 32))
    assert list(found) == ["stem", "pool", "conv", "relu", "join"]
    assert found["stem"].receptive_field.field == (1, 5, 5) and found["stem"].receptive_field.stride == (1, 2, 2)
    assert found["pool"].receptive_field.field == (1, 9, 9) and found["pool"].receptive_field.stride == (2, 4, 4)
    assert found["conv"].receptive_field.field == (9, 25, 25) == found["relu"].receptive_field.field
    assert found["relu"].receptive_field.stride == (2, 4, 4) and found["relu"].shape == (4, 5, 8, 8)
    assert found["join"].receptive_field.field is None


class Pools(nn.Module):
    """Pools as people write them, a layer that is called twice and one in another float."""

    def __init__(self) -> None:
        super().__init__()
        self.dilated = nn.MaxPool3d(2, stride=1, dilation=(1, 3, 2))
        self.plain = nn.AvgPool3d((1, 2, 2))
        self.twice = nn.ReLU()
        self.longer = nn.Conv3d(3, 2, 1).double()
        self.narrow = nn.Identity()
        self.wide, self.behind = nn.AdaptiveAvgPool3d((2, 1, 2)), nn.Conv3d(2, 2, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.plain(self.twice(self.dilated(x))))
        x = nn.functional.avg_pool3d(x, (1, 2, 1))
        return self.behind(self.wide(self.longer(self.narrow(x).double())))


def test_pools_by_hand() -> None:
    found = space_time_layers(Pools().eval(), torch.zeros(1, 3, 4, 15, 10))
    assert list(found) == ["dilated", "plain", "twice", "narrow", "longer", "wide", "behind"]
    assert [found["plain"].kind, found["narrow"].kind] == ["AvgPool3d", "Identity"]
    assert found["dilated"].receptive_field.field == (2, 4, 3) and found["dilated"].shape == (3, 3, 12, 8)
    assert found["plain"].receptive_field.field == (2, 5, 4) and found["plain"].receptive_field.stride == (1, 2, 2)
    assert found["longer"].receptive_field.stride == (1, 4, 2) and found["longer"].shape == (2, 3, 3, 4)
    assert (
        found["wide"].shape == (2, 2, 1, 2)
        and found["wide"].receptive_field.field is found["behind"].receptive_field.field is None
    )


def test_pools_of_pictures_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.MaxPool2d(2), nn.ReLU())
    found = space_time_layers(network.eval(), torch.zeros(1, 3, 16, 16))
    assert found["1"].receptive_field.field == (1, 5, 5) and found["2"].receptive_field.stride == (1, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["layer1", "layer2.conv1", "layer3"])
def test_the_receptive_field_is_what_a_gradient_reaches(layer: str) -> None:
    """With positive weights, nothing rectified away, the input's gradient covers the receptive field exactly."""
    network = load_model("playground-r2plus1d", "none").network.double()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    x = torch.ones(1, 3, 48, 160, 160, dtype=torch.float64, requires_grad=True)
    sight = space_time_layers(network, x.detach())[layer].receptive_field
    outputs: list[Tensor] = []
    handle = dict(network.named_modules())[layer].register_forward_hook(lambda m, i, o: outputs.append(o))
    network(x)
    handle.remove()
    _, _, t, h, w = outputs[0].shape
    outputs[0][0, :, t // 2, h // 2, w // 2].sum().backward()
    assert x.grad is not None
    reached = (x.grad[0, 0] != 0).nonzero()
    assert tuple((reached.max(0).values - reached.min(0).values + 1).tolist()) == sight.field


def test_attention_sees_everything_and_tokens_are_folded() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv3d(3, 8, (2, 4, 4), (2, 4, 4))
            self.norm = nn.LayerNorm(8)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.norm(self.patch(x).flatten(2).transpose(1, 2))).mean(1)

    found = space_time_layers(Tokens().eval(), torch.zeros(1, 3, 4, 16, 16), Layout("n (t h w) c", (2, 4, 4)))
    assert found["norm"].receptive_field.field == (2, 4, 4) and found["norm"].shape == (8, 2, 4, 4)
    assert found["block"].receptive_field.field is None
