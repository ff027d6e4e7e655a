from __future__ import annotations

import pytest
import torch

from vidcam.models.i3d import I3D, Pool, Unit


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
def test_padding_is_that_of_tensorflow(size: int, stride: int, kernel: int) -> None:
    """Output i covers the positions from i·stride - before on, `before` half of what is lacking, rounded down."""
    x = torch.rand(1, 1, size, 1, 1)
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    row = x.flatten().tolist()
    inside = [
        [row[j] for j in range(i * stride - before, i * stride - before + kernel) if 0 <= j < size]
        for i in range(outputs)
    ]
    pooled = Pool((kernel, 1, 1), (stride, 1, 1))(x).flatten()
    torch.testing.assert_close(pooled, torch.tensor([max(values) for values in inside]))
    unit = Unit(1, 1, kernel, stride, plain=True)
    with torch.no_grad():
        unit.conv3d.weight.fill_(1)
        assert unit.conv3d.bias is not None
        unit.conv3d.bias.zero_()
    summed = unit(x).flatten()
    torch.testing.assert_close(summed, torch.tensor([sum(values) for values in inside]))


def test_it_has_the_parameters_of_the_published_network() -> None:
    with torch.device("meta"):
        state = I3D(400).state_dict()
    assert sum(v.numel() for k, v in state.items() if "running" not in k and "num_batches" not in k) == 12_697_264
    assert state["logits.conv3d.weight"].shape == (400, 1024, 1, 1, 1)
    assert state["Mixed_5c.b2b.conv3d.weight"].shape == (128, 48, 3, 3, 3)
    assert "Conv3d_1a_7x7.bn.running_mean" in state
