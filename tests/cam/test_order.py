from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.cam.order import better_layout, misplaced

GRID = (4, 6, 5)


class Ordered(nn.Module):
    """A convolution whose output is laid out by `order`, with attention over all positions if there are tokens."""

    def __init__(self, order: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.order = nn.Conv3d(3, 8, 3, padding=1), order
        self.attention, self.block = nn.MultiheadAttention(8, 2, batch_first=True), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if " " in self.order:
            return self.block(x.permute(0, *(1 + "cthw".index(axis) for axis in self.order.split()[1:])))
        tokens = x.permute(0, *(2 + "thw".index(axis) for axis in self.order), 1).flatten(1, 3)
        return self.block(tokens + self.attention(tokens, tokens, tokens)[0])


def _better(order: str, layout: Layout, network: Any = None) -> Layout | None:
    return better_layout(
        (network or Ordered(order)).eval(), "block", torch.zeros(1, 3, *GRID), layout, lambda windows: windows
    )


ORDERS = ["thw", "hwt", "twh", "wht"]


@pytest.mark.parametrize("given", ORDERS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_tokens_is_found(order: str, given: str) -> None:
    right, layout = (Layout(f"n ({' '.join(letters)}) c", GRID) for letters in (order, given))
    assert _better(order, layout) == (None if order == given else right)


@pytest.mark.parametrize("grid", [(4, 5, 6), (6, 4, 5), (5, 6, 4)])
def test_exchanged_sides_of_a_grid_are_found(grid: tuple[int, int, int]) -> None:
    assert _better("thw", Layout("n (t h w) c", grid)) == Layout("n (t h w) c", GRID)


@pytest.mark.parametrize("given", [None, "n c t h w", "n t h w c", "n t c h w"])
@pytest.mark.parametrize("order", ["n c t h w", "n t h w c", "n t c h w"])
def test_the_order_of_axes_is_found(order: str, given: str | None) -> None:
    expected = None if order == (given or "n c t h w") else Layout(order)
    assert _better(order, Layout(given)) == expected


class Mixed(Ordered):
    """Every position is the mean of all."""

    def forward(self, x: Tensor) -> Tensor:
        return self.block(super().forward(x).mean(1, keepdim=True).expand(-1, 120, -1))


class Twice(Ordered):
    """The layer is called twice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.block(super().forward(x))


@pytest.mark.parametrize("network", [Mixed("thw"), Twice("thw")])
def test_nothing_is_said_where_nothing_is_known(network: nn.Module) -> None:
    assert _better("", Layout("n (h w t) c", GRID), network) is None


class Behind(nn.Module):
    """A strided convolution of what `reads` takes of the window, called for each frame if `one_by_one`."""

    def __init__(self, reads: Callable[[Tensor], Tensor], one_by_one: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reads, self.one_by_one = reads, one_by_one
        self.block = nn.Conv3d(3, 4, (1, 4, 4), stride=(1, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        given = self.reads(x)
        if not self.one_by_one:
            return self.block(given)
        return torch.cat([self.block(frame) for frame in given.split(1, 2)], 2)


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        (lambda x: x, ""),
        (lambda x: x[:, :, ::2], ""),
        (lambda x: x.flip(2), "runs against the window in time"),
        (lambda x: x.flip(3), "runs against the window in height"),
        (lambda x: x.flip(4), "runs against the window in width"),
        (lambda x: x[:, :, :4], "has not seen the last 2 frames"),
        (lambda x: x[:, :, 3:4], "has not seen the last 4 frames"),
        (lambda x: x[:, :, :, 4:], "has not seen the top 4 pixels"),
        (lambda x: x[..., 8:-8], "has not seen the left 8 pixels"),
        (lambda x: x.transpose(3, 4), "has other places in the order of its height"),
        (lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 2), "has other places in the order of its time"),
        (lambda x: x.roll(2, 2), "has other places in the order of its time"),
        (lambda x: x.roll(2, 2) + 1e-5 * x.mean(), "has other places in the order of its time"),  # little of everywhere
        (lambda x: 1e-3 * x.roll(2, 2), "has other places in the order of its time"),
        (lambda x: x * 0, ""),
    ],
)
def test_a_map_that_would_not_lie_on_what_was_seen_is_found(
    reads: Callable[[Tensor], Tensor], expected: str, one_by_one: bool
) -> None:
    network = Behind(reads, one_by_one).eval()
    found = misplaced(network, "block", torch.zeros(1, 3, 8, 32, 32), Layout(), lambda windows: windows)
    assert expected in found and bool(expected) == bool(found)


@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 4, 16), (1, 2, 8), (3, 4, 17), (5, 8, 32), (2, 8, 31)])
def test_borders_that_a_stride_leaves_out_are_seen_enough(kernel: int, stride: int, side: int) -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, (1, kernel, kernel), (1, stride, stride))).eval()
    assert misplaced(network, "0", torch.zeros(1, 3, 8, side, side), Layout(), lambda windows: windows) == ""


def test_nothing_is_misplaced_where_every_position_has_seen_the_window() -> None:
    network = Behind(lambda x: x.flip(2).mean((2, 3, 4), keepdim=True).expand(-1, -1, 8, 32, 32)).eval()
    assert misplaced(network, "block", torch.zeros(1, 3, 8, 32, 32), Layout(), lambda windows: windows) == ""


@pytest.mark.parametrize("size", [(1, 8, 8), (8, 1, 8), (8, 8, 1)])
def test_an_axis_of_one_frame_or_pixel_has_no_order(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 4, 1)).eval()
    assert misplaced(network, "0", torch.zeros(1, 3, *size), Layout(), lambda windows: windows) == ""
