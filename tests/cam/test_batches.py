from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.batches import fault_in_batches
from vidcam.cam.layout import Layout

FRAMES = 4


class Frames(nn.Module):
    """A convolution on frames, whose rows lie by the pattern, and the mean over time; `mixed` changes its features."""

    def __init__(self, rows: str, mixed: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.mixed = rows, mixed
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.conv(rearrange(x, f"n c t h w -> ({self.rows}) c h w")).mean((2, 3))
        return self.fc(self.mixed(rearrange(rows, f"({self.rows}) c -> n c t", n=len(x)).mean(2)))


def _fault(network: nn.Module, pattern: str) -> str:
    window = torch.zeros(1, 3, FRAMES, 6, 6)
    return fault_in_batches(
        network.eval(), "conv", window, Layout(pattern), lambda windows: windows, lambda output: output
    )


@pytest.mark.parametrize("given", ["n t", "t n"])
@pytest.mark.parametrize("rows", ["n t", "t n"])
def test_windows_must_lie_in_the_rows_as_the_layout_says(rows: str, given: str) -> None:
    fault = _fault(Frames(rows), f"({given}) c h w")
    assert bool(fault) == (rows != given)
    assert not fault or "at layer 'conv' in a batch of two" in fault


def test_scores_that_depend_on_the_other_windows_are_found() -> None:
    fault = _fault(Frames("n t", lambda x: x - x.mean(0)), "(n t) c h w")
    assert fault.startswith("a window has other values in its scores in a batch of two than alone")


def test_dropout_that_is_never_off_is_found() -> None:
    fault = _fault(Frames("n t", nn.functional.dropout), "(n t) c h w")
    assert fault.startswith("a window has other values in its scores in a second run")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_no_difference(dtype: torch.dtype) -> None:
    network, window = Frames("n t").to(dtype), torch.zeros(1, 3, FRAMES, 6, 6, dtype=dtype)
    assert fault_in_batches(network, "conv", window, Layout("(n t) c h w"), lambda w: w, lambda output: output) == ""


def test_the_windows_of_noise_do_not_depend_on_the_generator_outside() -> None:
    network, seen = Frames("n t").eval(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        assert _fault(network, "(n t) c h w") == "" and torch.equal(torch.get_rng_state(), state)
    half = len(seen) // 2
    assert half == 3 and all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:]))
