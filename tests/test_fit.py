from __future__ import annotations

from dataclasses import replace

import pytest
from torch import Tensor, nn

from vidcam.fit import layer_names, layers_of
from vidcam.models.registry import load_model, spec_named


@pytest.mark.slow
@pytest.mark.parametrize("name", ["playground-c3d", "playground-gru", "playground-tubelet", "x3d_xs"])
def test_the_names_of_layers_need_no_arithmetic(name: str) -> None:
    assert layer_names(spec_named(name)) == tuple(layers_of(load_model(name, "none")))


class _Looking(nn.Module):
    def forward(self, windows: Tensor) -> Tensor:
        return windows if windows.sum().item() > 0 else -windows


def test_a_network_that_looks_at_values_has_no_names_of_layers_without_them() -> None:
    assert layer_names(replace(spec_named("playground-c3d"), build=lambda classes: _Looking())) == ()
