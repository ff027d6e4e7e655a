from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.layout import Layout, tensor_of, with_tensor
from vidcam.errors import LayerError, SettingsError

N, C, T, H, W = 2, 3, 4, 5, 6
GRID = (T, H, W)
TRUTH = torch.arange(float(N * C * T * H * W)).view(N, C, T, H, W)


def _laid(order: str) -> Tensor:
    """The truth with its axes in an order, "n t h w c", by indexing."""
    return TRUTH.permute(*("ncthw".index(axis) for axis in order.split())).contiguous()


def _folded(layout: Layout, output: Any, windows: int = N, layer: nn.Module | None = None) -> Tensor:
    tensor = tensor_of(output)
    assert tensor is not None
    return layout.fold("a layer", layer or nn.Identity(), output, windows)(tensor)


CASES = [
    (Layout(), _laid("n c t h w")),
    (Layout("n c t h w"), _laid("n c t h w")),
    (Layout("n t h w c"), _laid("n t h w c")),
    (Layout("n t c h w"), _laid("n t c h w")),
    (Layout("(n t) c h w"), _laid("n t c h w").flatten(0, 1)),
    (Layout("(t n) c h w"), _laid("t n c h w").flatten(0, 1)),
    (Layout("(n t) h w c"), _laid("n t h w c").flatten(0, 1)),
    (Layout("n (t h w) c", GRID), _laid("n t h w c").flatten(1, 3)),
    (Layout("n (h w t) c", GRID), _laid("n h w t c").flatten(1, 3)),
    (Layout("n c (t h w)", GRID), _laid("n c t h w").flatten(2)),
    (Layout("(n t) (h w) c", GRID), _laid("n t h w c").flatten(0, 1).flatten(1, 2)),
    (Layout("n t (h w) c", GRID), _laid("n t h w c").flatten(2, 3)),
    (Layout(), (_laid("n t h w c").flatten(1, 3), GRID)),
]


@pytest.mark.parametrize(("layout", "output"), CASES)
def test_each_number_comes_to_its_window_channel_time_and_place(layout: Layout, output: Any) -> None:
    assert torch.equal(_folded(layout, output), TRUTH)


@pytest.mark.parametrize(("layout", "expected"), [(Layout(), "n c h w"), (Layout("n h w c"), "n h w c")])
def test_pictures_are_one_step_in_time(layout: Layout, expected: str) -> None:
    picture = TRUTH[:, :, 0] if expected == "n c h w" else TRUTH[:, :, 0].movedim(1, -1)
    assert torch.equal(_folded(layout, picture), TRUTH[:, :, :1])


@pytest.mark.parametrize("pattern", ["n (t h w) c", "n (_ t h w) c", "n (t h w _) c", "n (h w t) c", "n (h w t _) c"])
@pytest.mark.parametrize("others", [1, 3])
def test_tokens_of_other_kinds_are_left_out(pattern: str, others: int) -> None:
    order = "n h w t c" if "h w t" in pattern else "n t h w c"
    tokens, others_tokens = _laid(order).flatten(1, 3), torch.full((N, others, C), -1.0)
    parts = [tokens, others_tokens] if "_)" in pattern else [others_tokens, tokens]
    assert torch.equal(_folded(Layout(pattern, GRID), torch.cat(parts, 1)), TRUTH)


def test_class_tokens_of_each_frame_are_left_out() -> None:
    tokens = torch.cat([torch.full((N * T, 1, C), -1.0), _laid("n t h w c").flatten(0, 1).flatten(1, 2)], 1)
    assert torch.equal(_folded(Layout("(n t) (h w) c", GRID), tokens), TRUTH)


@pytest.mark.parametrize(
    ("layer", "output", "pattern"),
    [
        (nn.Conv3d(3, 3, 1), _laid("n c t h w"), "n t h w c"),
        (nn.BatchNorm3d(3), _laid("n c t h w"), "n t c h w"),
        (nn.Conv2d(3, 3, 1), _laid("n t c h w").flatten(0, 1), "(n t) h w c"),
    ],
)
def test_convolutions_give_channels_first_in_any_network(layer: nn.Module, output: Tensor, pattern: str) -> None:
    assert torch.equal(_folded(Layout(pattern), output, layer=layer), TRUTH)


@pytest.mark.parametrize(
    ("layout", "shape", "windows", "told"),
    [
        (Layout(), (2, 3), 2, r"'a layer' gives a tensor of shape \(2, 3\) for 2 windows, which has no time and space"),
        (Layout(), (2, 120, 3), 2, r"if these are tokens, give their layout and grid, such as 'n \(t h w\) c'"),
        (Layout(), (8, 3, 5, 6), 2, r"'n c h w' wants 2 in place of 8; .* give the layout '\(n t\) c h w'"),
        (Layout("n t h w c"), (2, 3, 5, 6), 2, "layout 'n t h w c' has 5 axes; give the layout of this layer"),
        (Layout("(n t) c h w"), (7, 3, 5, 6), 2, r"'\(n t\) c h w' wants a multiple of 2 in place of 7"),
        (
            Layout("n (t h w) c", GRID),
            (2, 119, 3),
            2,
            r"with grid \(4, 5, 6\) wants 120 in place of 119; give the grid",
        ),
        (Layout("n (t h w) c", (3, 5, 6)), (2, 120, 3), 2, r"wants 90 in place of 120"),
        (Layout("n (t h w) c", (4, 5, 5)), (2, 120, 3), 2, r"wants 100 in place of 120"),
        (Layout("(n t) (h w) c", GRID), (6, 30, 3), 2, r"wants 8 in place of 6; .*as many frames as it has rows"),
        (Layout("n t (h w) c", GRID), (2, 3, 30, 3), 2, r"wants 4 in place of 3"),
        (Layout("n t h w c", GRID), (2, 5, 5, 6, 3), 2, r"wants 4 in place of 5"),
    ],
)
def test_outputs_that_do_not_fit(layout: Layout, shape: tuple[int, ...], windows: int, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        _folded(layout, torch.zeros(shape), windows)


@pytest.mark.parametrize("output", [None, (), ("text", torch.zeros(2, 3, 4, 5, 6)), {}, [torch.zeros(2, 3, 4, 5, 6)]])
def test_outputs_without_a_tensor(output: Any) -> None:
    with pytest.raises(LayerError, match=f"'a layer' gives a {type(output).__name__} without a tensor"):
        Layout().fold("a layer", nn.Identity(), output, 2)


@pytest.mark.parametrize(
    ("pattern", "grid", "told"),
    [
        ("n c", None, "layout 'n c' is not understood; name each of n"),
        ("n c t h w h", None, "is not understood"),
        ("n (t h w c", None, "is not understood"),
        ("n t h w k", None, "is not understood"),
        ("(n c) t h w", None, "is not understood"),
        ("(n _ t) (h w) c", GRID, "is not understood"),
        ("n (t _ h w) c", GRID, "is not understood"),
        ("n (t h w) c", None, r"needs the grid \(T, H, W\)"),
        (None, GRID, "has no layout; say in which order the tokens lie"),
        ("n (h w) c", GRID, "has no t, and the grid"),
        ("n (t h w) c", (4, 5), r"grid \(4, 5\) is not \(T, H, W\)"),
        ("n (t h w) c", (4, 0, 5), "three whole numbers"),
    ],
)
def test_patterns_that_are_none(pattern: str | None, grid: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Layout(pattern, grid)


class Named(NamedTuple):
    tokens: Tensor
    rest: int


@dataclass
class Data:
    tokens: Tensor
    rest: int


@dataclass
class Output(OrderedDict[str, Any]):
    """A structure as of Hugging Face's transformers, mapping and dataclass in one."""

    tokens: Tensor
    rest: int

    def __post_init__(self) -> None:
        self.update(tokens=self.tokens, rest=self.rest)


@pytest.mark.parametrize("kind", [tuple, Named, Data, Output])
def test_structures_that_begin_with_a_tensor(kind: Any) -> None:
    tokens = _laid("n t h w c").flatten(1, 3)
    values = {"tokens": tokens, "rest": 7}
    given = kind(values.values()) if kind is tuple else kind(**values)
    assert torch.equal(_folded(Layout("n (t h w) c", GRID), given), TRUTH)
    other = with_tensor(given, tokens + 1)
    found = tensor_of(other)
    assert type(other) is kind and found is not None and torch.equal(found, tokens + 1)
    assert tensor_of(given) is tokens
    assert (other[1] if kind in (tuple, Named) else other.rest) == 7
