from __future__ import annotations

import pytest
import torch

from vidcam.models.c3d import C3D, Pool5


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network = C3D()
    # convolutions, fc6 of 8192 inputs, fc7, fc8
    assert sum(p.numel() for p in network.parameters()) == 27_655_936 + 33_558_528 + 16_781_312 + 1_995_239
    convolutions = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Conv3d)]
    assert convolutions == ["conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b"]


@pytest.mark.parametrize("pool5", ["ceil", "pad"])
def test_shapes_through_the_network(pool5: Pool5) -> None:
    network = C3D(5, widths=(2, 3, 4, 5, 6), hidden=8, pool5=pool5).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda m, i, o, name=name: shapes.__setitem__(name, tuple(o.shape[1:])))
    assert network(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 5)
    assert shapes["pool1"] == (2, 16, 56, 56)
    assert shapes["pool2"] == (3, 8, 28, 28)
    assert shapes["pool3"] == (4, 4, 14, 14)
    assert shapes["relu5b"] == (6, 2, 7, 7)
    assert shapes["pool5"] == (6, 1, 4, 4)


def test_the_two_pools_take_windows_a_pixel_apart() -> None:
    x = torch.arange(49.0).view(1, 1, 1, 7, 7).repeat(1, 1, 2, 1, 1)
    ceil, pad = (
        C3D(1, widths=(1,) * 5, hidden=1, pool5="ceil").pool5,
        C3D(1, widths=(1,) * 5, hidden=1, pool5="pad").pool5,
    )
    columns = torch.arange(7)
    by_ceil = [columns[i : i + 2].max().item() for i in (0, 2, 4, 6)]
    by_pad = [columns[max(0, i) : i + 2].max().item() for i in (-1, 1, 3, 5)]
    assert ceil(x)[0, 0, 0, 0].tolist() == [7 + c for c in by_ceil]
    assert pad(x)[0, 0, 0, 0].tolist() == by_pad
