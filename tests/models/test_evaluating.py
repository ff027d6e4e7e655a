from __future__ import annotations

import pytest
import torch
from torch import nn

from vidcam.models.evaluating import evaluating


def test_every_module_is_back_in_its_own_mode_also_after_an_error() -> None:
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    network[1].eval()
    with pytest.raises(ValueError, match="broken"), evaluating(network):
        assert not network.training and not network[0].training
        raise ValueError("broken")
    assert [network.training, network[0].training, network[1].training] == [True, True, False]


def test_gradients_are_exact_whatever_surrounds_it() -> None:
    network, given = nn.Linear(64, 1), torch.rand(1, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(given).dtype == torch.bfloat16
        with evaluating(network):
            output = network(given)
    assert output.dtype == torch.float32 and output.requires_grad
    with torch.inference_mode(), evaluating(network):
        assert network(torch.rand(1, 64)).requires_grad
