"""Evaluation mode: a network in it for as long as it is explained, and back in its own mode afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode inside the `with`, and then each of its modules back into its own mode.

    Gradients are enabled meanwhile, and a reduced precision of `torch.autocast` is not.

    Args:
        network: that may be in training.

    Example:
        >>> network = nn.Dropout()
        >>> with evaluating(network):
        ...     print(network.training)
        False
        >>> network.training
        True
    """
    modes = {module: module.training for module in network.modules()}
    devices = {tensor.device.type for tensor in (*network.parameters(), *network.buffers())} or {"cpu"}
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            for device in devices:
                stack.enter_context(torch.autocast(device, enabled=False))
            network.eval()
            yield
    finally:
        for module, training in modes.items():
            module.training = training
