from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.layers import last_layer, space_time_layers
from vidcam.cam.layout import Layout
from vidcam.errors import LayerError
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
    assert list(found) == ["dilated", "plain", "narrow", "longer", "wide", "behind"]  # not "twice"
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


def _last(network: nn.Module, layout: Layout) -> str:
    return last_layer(
        network.eval(),
        torch.zeros(1, 3, 8, 16, 16),
        layout,
        lambda windows: windows,
        lambda output: output.flatten(1)[:, 0],
    )


class Block(nn.Module):
    """A block of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A patch embedding, a class token and blocks on tokens; pools them, or reads the class token."""

    def __init__(self, pooled: bool = True) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.patch = nn.Conv3d(3, 8, (2, 4, 4), (2, 4, 4))
        self.blocks, self.norm = nn.Sequential(Block(), Block()), nn.LayerNorm(8)
        self.fc, self.pooled = nn.Linear(8, 2), pooled

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.norm(self.blocks(torch.cat([tokens[:, :1], tokens], 1)))
        return self.fc(tokens.mean(1) if self.pooled else tokens[:, 0])


class Frames(nn.Module):
    """A 2D network on frames in the rows of the batch, and a recurrent head of features in time."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 4, 3, padding=1)
        self.conv, self.tokens = nn.Conv2d(4, 6, 3, 2), tokens
        self.norm = nn.LayerNorm(6)
        self.gru, self.fc = nn.GRU(6, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, _, _ = x.shape
        x = self.conv(self.stem(x).transpose(1, 2).flatten(0, 1))
        x = self.norm(x.flatten(2).transpose(1, 2)).mean(1) if self.tokens else x.mean((2, 3))
        return self.fc(self.gru(x.view(n, t, 6))[0]).mean(1)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Transformer(), r"'norm' gives what may be tokens .*\(1, 65, 8\), L = 65, .*'n \(t h w\) c' with"),
        (Frames(tokens=False), r"'conv' gives the frames in the rows of the batch, \(8, 6, 7, 7\), .*'\(n t\) c h w'"),
        (Frames(tokens=True), r"'norm' gives what may be tokens .*\(8, 49, 6\), L = 49, .*'\(n t\) \(h w\) c' with"),
    ],
)
def test_the_last_layer_is_none_before_others_that_are_not_read(network: nn.Module, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        _last(network, Layout())


@pytest.mark.parametrize(
    ("network", "layout", "expected"),
    [
        (Transformer(), Layout("n (t h w) c", (4, 4, 4)), "norm"),
        (Transformer(pooled=False), Layout("n (t h w) c", (4, 4, 4)), "blocks.1.norm1"),
        (Frames(tokens=False), Layout("(n t) c h w"), "conv"),
        (Frames(tokens=True), Layout("(n t) (h w) c", (8, 7, 7)), "norm"),
        (Branches(), Layout(), "join"),
    ],
)
def test_the_last_layer_in_a_layout(network: nn.Module, layout: Layout, expected: str) -> None:
    assert _last(network, layout) == expected


class InPlace(nn.Module):
    """A head that works in place, and a last layer that the score does not read."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.side, self.fc = nn.Conv3d(3, 4, 3), nn.Conv3d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.side(x)
        return self.fc(x.sigmoid().add_(x).relu().mul_(2).mean((2, 3, 4)))


def test_a_layer_on_which_nothing_depends_is_not_the_last() -> None:
    assert _last(InPlace(), Layout()) == "conv"


class FrameByFrame(nn.Module):
    """Runs a 2D network on each frame in turn; scores frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.norm, self.fc = nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps = [self.relu(self.relu(self.conv(frame)) - 0.1).mean((2, 3)) for frame in x.unbind(2)]
        return self.fc(self.norm(torch.stack(steps, 1)))


def test_layers_called_for_each_frame_have_its_steps_and_one_called_otherwise_is_left_out() -> None:
    network, x = FrameByFrame().eval(), torch.zeros(1, 3, 8, 6, 5)
    found = space_time_layers(network, x, frames=8)
    assert list(found) == ["conv"] and found["conv"].shape == (4, 8, 6, 5)
    assert _last(network, Layout()) == "conv"
    assert space_time_layers(network, x) == {} == space_time_layers(network, x[:, :, :2])


class Crops(nn.Module):
    """A 3D network on crops of a window, (N, K, 3, T, H, W), in the rows of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x.flatten(0, 1)).mean((2, 3, 4))).view(*x.shape[:2], 2).mean(1)


def test_several_crops_of_a_window_are_told_as_such() -> None:
    def last(crops: int) -> str:
        return last_layer(
            Crops().eval(),
            torch.zeros(1, 3, 8, 16, 16),
            Layout(),
            lambda windows: torch.stack([windows] * crops, 1),
            lambda output: output[:, 0],
        )

    assert last(1) == "conv"
    with pytest.raises(
        LayerError, match=r"layer 'conv' gives 2 rows for one window, \(2, 4, 6, 14, 14\); let pack give one"
    ):
        last(2)


class Few(nn.Module):
    """A convolution, and a norm of its output pooled to a grid, or a convolution of one position for each frame."""

    def __init__(self, grid: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.stem, self.grid = nn.Conv3d(3, 4, 3, padding=1), grid
        self.norm, self.frames, self.fc = nn.LayerNorm(4), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.grid is None:
            rows = x.mean((3, 4), keepdim=True).transpose(1, 2).flatten(0, 1)
            return self.fc(self.frames(rows).view(len(x), -1, 4).mean(1))
        tokens = nn.functional.adaptive_avg_pool3d(x, self.grid).flatten(2).transpose(1, 2)
        return self.fc(self.norm(tokens).mean(1))


@pytest.mark.parametrize("grid", [None, (8, 2, 1)])
def test_vectors_of_frames_are_no_picture_and_two_for_each_no_tokens(grid: tuple[int, int, int] | None) -> None:
    assert _last(Few(grid), Layout()) == "stem"


def test_more_than_two_positions_for_each_frame_may_be_tokens() -> None:
    with pytest.raises(LayerError, match=r"'norm' gives what may be tokens .* L = 17,"):
        _last(Few((1, 17, 1)), Layout())
