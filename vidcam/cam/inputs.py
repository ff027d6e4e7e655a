"""Inputs of a network: one value, several in order, or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def forward(network: nn.Module, inputs: Any) -> Any:
    """Run a network and return its output.

    Args:
        network: the network.
        inputs: a tuple for several arguments, a mapping for named ones, and any other value, such as a tensor or a list
            of tensors, for a single one.

    Example:
        >>> import torch
        >>> forward(nn.Bilinear(2, 2, 3), (torch.ones(1, 2), torch.ones(1, 2))).shape
        torch.Size([1, 3])
    """
    match inputs:
        case tuple():
            return network(*inputs)
        case Mapping():
            return network(**inputs)
    return network(inputs)
