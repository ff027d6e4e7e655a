"""Weights by which the brightness of a place and a time is the score of a network.

Every convolution and linear layer passes one channel on, the brightness, from the middle of its kernel; norms change
nothing. In transformers the blocks pass tokens on, and the last attention or mean gathers them in equal parts.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def passing_brightness(network: nn.Module, channel: int = 0, classes: int = 400) -> None:
    """Set the weights of convolutions and recurrent layers so that class 1 is the brightness, and class 0 its opposite.

    Args:
        network: its last layer of that many outputs is the classifier.
        channel: that holds the brightness in every layer.
        classes: outputs of the classifier.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                parameter.abs_()
                if isinstance(module, nn.GRU) and "weight" in name:  # of the old state half, whatever the input
                    parameter.view(3, module.hidden_size, -1)[1] = 0
    for layer in layers:
        kernel = layer.weight.shape[2:]
        if layer.bias is not None:
            layer.bias.zero_()
        layer.weight.zero_()
        patches = bool(kernel) and kernel == layer.stride  # type: ignore[comparison-overlap]
        middle = (...,) if patches else (..., *(size // 2 for size in kernel))
        share = 1 / kernel.numel() if patches else 1.0
        if layer.weight.shape[1] <= 3 and getattr(layer, "groups", 1) == 1:  # of colours, or of a flow
            layer.weight[channel][middle] = share / 3
        elif getattr(layer, "groups", 1) > 1:
            layer.weight[:, 0][middle] = share
        else:
            layer.weight[channel, channel][middle] = share
    classifier = [layer for layer in layers if len(layer.weight) == classes][-1]
    classifier.weight[...] = 0.0
    classifier.weight[0, channel] = -1.0  # no score is the same for all windows
    classifier.weight[1 % classes, channel] = 1.0


@torch.no_grad()
def passing_tokens(network: nn.Module, classifier: str, gathers: tuple[str, ...], passes: tuple[str, ...] = ()) -> None:
    """Set the weights of a transformer so that class 1 is the brightness.

    A token's first channel is the brightness of its tubelet. Its second and third are -10 and 10, without which a
    normalisation would leave nothing of the brightness, or make darkness negative.

    Args:
        network: a transformer.
        classifier: name of the last layer.
        gathers: names of the values and the projection of the last attention, if the score does not read all tokens.
        passes: ends of the names of other layers that change the number of channels, or that pool.
    """
    parameters = dict(network.named_parameters())
    for name, parameter in parameters.items():
        parameter.fill_(1.0 if name.endswith("weight") and parameter.ndim == 1 else 0.0)
    embedding = next(name for name, p in parameters.items() if p.ndim >= 4 and p.shape[1] == 3)
    weight = parameters[embedding]
    kernel, module = weight.shape[2:], network.get_submodule(embedding.removesuffix(".weight"))
    if kernel == module.stride:
        weight[0] = 30 / weight[0].numel()
    else:
        weight[0][(..., *(size // 2 for size in kernel))] = 10.0
    parameters[embedding.removesuffix("weight") + "bias"][1:3] = torch.tensor([-10.0, 10.0])
    for name, parameter in parameters.items():
        if name.endswith(passes) and parameter.ndim == 2:
            parameter[:3, :3] = torch.eye(3)
        elif name.endswith(passes) and parameter.ndim == 5:
            parameter[:, 0][(..., *(size // 2 for size in parameter.shape[2:]))] = 1.0
    for name in gathers:
        values = parameters[f"{name}.weight"]
        values[-values.shape[1] :] = torch.eye(values.shape[1])  # the last rows of query, key, value
    parameters[f"{classifier}.weight"][:2, 0] = torch.tensor([-1.0, 1.0])
