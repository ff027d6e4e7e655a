"""Layer-wise relevance propagation through transformers (AttnLRP, Achtibat et al. 2024, arXiv 2402.05602).

The relevance R of a value A is its share of the score: R = A g̃, where g̃ is the score's gradient with the derivative of
some operations replaced. Then linear operations follow the epsilon rule (eq. 8, with epsilon 0) as they are, and biases
keep their share of the score. The operations between the score and a layer are read from autograd's graph, so that it does
not matter how a network writes its attention: the gradient of a fused kernel is that of its two products and softmax.

    operation                      rule                                       replaced derivative
    linear, piecewise linear       epsilon, eq. 8                             none
    softmax                        Taylor at x, proposition 3.1               none: x s (g - Σ s g) is R in the paper
    product of two activations     uniform, propositions 3.2 and 3.3          half for each factor
    fused attention                the two above                              1/4 for query and key, 1/2 for value
    layer normalization            identity, proposition 3.4                  the deviation is a constant
    GELU, SiLU                     identity, eq. 9                            f(x) / x
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from vidcam.errors import LayerError

_Gradients = Sequence[Tensor | None]
_Rule = Callable[[_Gradients, _Gradients], tuple[Tensor | None, ...]]
"""A hook of a node: the gradients by its inputs, given autograd's and those by its outputs."""

_FUSED = "ScaledDotProduct"  # the beginning of the names of the fused kernels
_SOFTMAX = {"Softmax", "SafeSoftmax"}
_MOVED = """Alias AsStrided Clone ToCopy Copy View UnsafeView ReshapeAlias Permute Transpose T Expand Repeat Unsqueeze
    Squeeze Select Slice Index IndexSelect Gather Cat Stack Split SplitWithSizes Unbind Roll Flip ConstantPadNd MaskedFill
    Where"""
_LINEAR = """Add Sub Rsub Neg Sum Mean Linear Convolution AvgPool2D AvgPool3D AdaptiveAvgPool2D AdaptiveAvgPool3D Relu
    LeakyRelu Max Amax MaxPool2DWithIndices MaxPool3DWithIndices"""  # or linear piece by piece
_OF_SCORES = {"LogSoftmax", "Logsumexp"}  # of classes or frames: Taylor at x, as for softmax
_UNCHANGED = {*_MOVED.split(), *_LINEAR.split(), *_SOFTMAX, *_OF_SCORES}
_FACTORS = {
    "Mul": (0, 1),
    "Mm": (0, 1),
    "Bmm": (0, 1),
    "Addmm": (1, 2),
    "Baddbmm": (1, 2),
}  # inputs that are multiplied
_ACTIVATIONS: dict[str, Callable[[Any], Tensor]] = {
    "Gelu": lambda node: nn.functional.gelu(node._saved_self, approximate=node._saved_approximate),
    "Silu": lambda node: nn.functional.silu(node._saved_self),
}


@contextmanager
def relevance_rules(scores: Tensor) -> Iterator[None]:
    """Replace derivatives in the graph of scores, so that an activation times its gradient is its relevance.

    Args:
        scores: with a graph that ends at the layers that are explained.

    Raises:
        LayerError: the graph has no attention, or an operation for which there is no rule.

    Example:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> score = (x.softmax(1) * nn.functional.gelu(x)).sum()
        >>> with relevance_rules(score):
        ...     (gradient,) = torch.autograd.grad(score, x)
        >>> (x * gradient).sum() < score  # the rest is the softmax's
        tensor(True)
    """
    nodes = _nodes(scores)
    kinds = {_kind(node) for node in nodes}
    fused = any(kind.startswith(_FUSED) for kind in kinds)
    if not fused and not (kinds & _SOFTMAX and any(_multiplies(node) for node in nodes)):
        raise LayerError(
            "attnlrp needs attention between the layer and the score, and there is none; choose an earlier layer of a "
            "transformer, such as its embeddings, or another method"
        )
    with ExitStack() as restored:
        for node in nodes:
            if (rule := _rule(node)) is not None:
                restored.callback(node.register_hook(rule).remove)
        yield


def _nodes(scores: Tensor) -> list[Node]:
    """Return the operations that scores were computed by, those alone that lead to a leaf."""
    found: dict[Node, None] = {}
    waiting = [scores.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found and _kind(node) != "AccumulateGrad":
            found[node] = None
            waiting += [before for before, _ in node.next_functions]
    return list(found)


def _kind(node: Node) -> str:
    """Return the operation of a node, such as "Bmm"; a user's own is never of such a name."""
    return re.sub(r"Backward\d+$", "", node.name().rpartition("::")[2])


def _multiplies(node: Node) -> bool:
    """Return True if an operation multiplies two activations."""
    factors = _FACTORS.get(_kind(node), ())
    return bool(factors) and all(node.next_functions[index][0] is not None for index in factors)


def _rule(node: Any) -> _Rule | None:
    """Return the rule of an operation; None if it is its gradient.

    Raises:
        LayerError: there is none.
    """
    kind = _kind(node)
    if kind in _FACTORS:
        return _scaled(dict.fromkeys(_FACTORS[kind], 0.5)) if _multiplies(node) else None
    if kind.startswith(_FUSED):
        return _of_fused_attention(node)
    if kind == "NativeLayerNorm":
        return _of_constant_deviation(node)
    if kind in _ACTIVATIONS:
        return _of_ratio(node, _ACTIVATIONS[kind])
    if kind in _UNCHANGED or (kind == "Div" and node.next_functions[1][0] is None):
        return None
    raise LayerError(
        f"attnlrp has no rule for an operation between the layer and the score ({kind}); choose a layer behind it, or "
        "another method"
    )


def _scaled(factors: dict[int, float]) -> _Rule:
    """Return the rule that multiplies the gradients by some inputs."""
    return lambda by_inputs, _: tuple(
        None if gradient is None else gradient * factors.get(index, 1.0) for index, gradient in enumerate(by_inputs)
    )


def _of_fused_attention(node: Any) -> _Rule:
    """Return the rule of softmax(q k) v: that of its two products, as far as both factors of a product are activations."""
    query, key, value = (before is not None for before, _ in node.next_functions[:3])
    second = 0.5 if (query or key) and value else 1.0
    first = 0.5 * second if query and key else second
    return _scaled({0: first, 1: first, 2: second})


def _of_constant_deviation(node: Any) -> _Rule:
    """Return the rule of y = w (x - mean x) / d + b, d a constant."""

    def rule(by_inputs: _Gradients, by_outputs: _Gradients) -> tuple[Tensor | None, ...]:
        gradient = by_outputs[0]
        assert gradient is not None
        if node._saved_weight is not None:
            gradient = gradient * node._saved_weight
        normalized = tuple(range(-len(node._saved_normalized_shape), 0))
        return (gradient - gradient.mean(normalized, keepdim=True)) * node._saved_result2, *by_inputs[1:]

    return rule


def _of_ratio(node: Any, function: Callable[[Any], Tensor]) -> _Rule:
    """Return the rule of y = f(x), x by x, with derivative f(x) / x, and 1/2 at x = 0, its limit for these functions."""

    def rule(_: _Gradients, by_outputs: _Gradients) -> tuple[Tensor | None, ...]:
        x, gradient = node._saved_self, by_outputs[0]
        assert gradient is not None
        return (gradient * torch.where(x != 0, function(node) / torch.where(x != 0, x, 1.0), 0.5),)

    return rule
