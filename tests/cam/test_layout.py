from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vidcam.cam.layout import Layout


def _folded(layout: Layout, output: Any, layer: nn.Module | None = None) -> torch.Size | None:
    fold = layout.fold(layer or nn.Identity(), output)
    tensor = output[0] if isinstance(output, tuple) else output
    return fold(tensor).shape if fold else None


@pytest.mark.parametrize(
    ("layout", "output", "expected"),
    [
        (Layout(), torch.zeros(2, 3, 4, 5, 6), (2, 3, 4, 5, 6)),
        (Layout(), torch.zeros(2, 3, 5, 6), (2, 3, 1, 5, 6)),
        (Layout(channels_last=True), torch.zeros(2, 4, 5, 6, 3), (2, 3, 4, 5, 6)),
        (Layout(channels_last=True), torch.zeros(2, 5, 6, 3), (2, 3, 1, 5, 6)),
        (Layout(grid=(4, 5, 6)), torch.zeros(2, 120, 3), (2, 3, 4, 5, 6)),
        (Layout(grid=(4, 5, 6)), torch.zeros(2, 121, 3), (2, 3, 4, 5, 6)),
        (Layout(), (torch.zeros(2, 121, 3), (4, 5, 6)), (2, 3, 4, 5, 6)),
        (Layout(), torch.zeros(2, 120, 3), None),
        (Layout(grid=(4, 5, 6)), torch.zeros(2, 7, 3), None),
        (Layout(), torch.zeros(2, 3), None),
        (Layout(), None, None),
    ],
)
def test_outputs_are_folded(layout: Layout, output: Any, expected: tuple[int, ...] | None) -> None:
    assert _folded(layout, output) == expected


def test_convolutions_give_channels_first_in_any_network() -> None:
    output = torch.zeros(2, 3, 4, 5, 6)
    assert _folded(Layout(channels_last=True), output, nn.Conv3d(3, 3, 1)) == (2, 3, 4, 5, 6)


def test_the_class_token_is_what_is_left_out() -> None:
    tokens = torch.arange(9.0).view(1, 9, 1)
    fold = Layout(grid=(2, 2, 2)).fold(nn.Identity(), tokens)
    assert fold is not None
    assert fold(tokens).flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert fold(tokens)[0, 0, 1, 0, 1] == 6


def test_tokens_of_one_position_that_follow_each_other_in_time_after_a_class_token_in_a_tuple() -> None:
    tokens = torch.arange(1 + 2 * 3 * 4.0).view(1, -1, 1)
    fold = Layout(grid=(2, 3, 4), pattern="n (h w t) c").fold(nn.Identity(), (tokens, None))
    assert fold is not None
    folded = fold(tokens)
    assert folded.shape == (1, 1, 2, 3, 4)
    assert all(folded[0, 0, t, h, w] == 1 + (h * 4 + w) * 2 + t for t in range(2) for h in range(3) for w in range(4))
