"""Share of a score that does not pass through the layers that are explained, as where another branch joins behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from vidcam.cam.capture import module_named
from vidcam.cam.inputs import forward
from vidcam.cam.layout import tensor_of, with_tensor
from vidcam.errors import LayerError

_ROUNDINGS = 100  # a difference of scores below so many is none


@torch.no_grad()
def bypass(
    network: nn.Module,
    layers: Sequence[str],
    window: Tensor,
    pack: Callable[[Tensor], Any],
    scores: Callable[[Any], Tensor],
) -> float:
    """Return the share of the scores' change between two windows of noise that is left if the layers' outputs are kept.

    The second window is run with the outputs that the layers give for the first. If the scores depend on the layers alone,
    they are those of the first. Runs the network three times.

    Args:
        network: in evaluation mode.
        layers: their names.
        window: one, (1, 3, T, H, W); its values do not matter.
        pack: returns the network's input, given windows.
        scores: returns the scores in the network's output.

    Returns:
        0 or more; 0 if the scores of the two windows are the same.

    Raises:
        LayerError: there is no such layer; or it gives no tensor.

    Example:
        >>> class Skip(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.part = nn.Hardtanh(-100, 100)
        ...     def forward(self, x):
        ...         return (self.part(x) + 3 * x).mean((2, 3, 4))
        >>> round(bypass(Skip(), ["part"], torch.zeros(1, 3, 2, 4, 4), lambda windows: windows, lambda output: output), 2)
        0.75
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (torch.randn(window.shape).to(window) for _ in range(2))
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensor = tensor_of(output)
        if tensor is None:
            raise LayerError("a layer gives no tensor; choose another")
        kept.append(tensor.clone())

    def replace(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return with_tensor(output, kept.pop(0))

    def run(given: Tensor, hook: Any = None) -> Tensor:
        with ExitStack() as removed:
            for name in layers if hook else ():
                removed.callback(module_named(network, name).register_forward_hook(hook).remove)
            return scores(forward(network, pack(given))).float()

    of_first, of_second = run(first, keep), run(second)
    change = (of_second - of_first).abs().sum()
    if change <= _ROUNDINGS * torch.finfo(window.dtype).eps * of_first.abs().sum():
        return 0.0
    return float((run(second, replace) - of_first).abs().sum() / change)
