"""A small transformer, and the relevance of its tokens by slow loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

WIDTH, HEADS, TOKENS = 4, 2, 3


def eager(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    return weights @ value


class Block(nn.Module):
    """A block of a transformer, with attention by one of several kernels."""

    def __init__(
        self, attention: Callable[..., Tensor] = eager, activation: nn.Module | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.attention = attention
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=bias) for _ in range(2))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias), nn.Linear(WIDTH, WIDTH, bias)
        self.up, self.down = nn.Linear(WIDTH, 6, bias), nn.Linear(6, WIDTH, bias)
        self.activation = activation or nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        heads = rearrange(self.qkv(self.norm1(x)), "n l (three h d) -> three n h l d", three=3, h=HEADS)
        x = x + self.out(rearrange(self.attention(*heads), "n h l d -> n l (h d)"))
        return x + self.down(self.activation(self.up(self.norm2(x))))


class Head(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(WIDTH, bias=bias), nn.Linear(WIDTH, 2, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(x)[:, 0])


def transformer(seed: int = 0, blocks: int = 2, **settings: Any) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(*(Block(**settings) for _ in range(blocks)), Head(settings.get("bias", True))).double()
    with torch.no_grad():
        for parameter in network.parameters():  # those of norms are 1 and 0
            parameter += 0.3 * torch.randn_like(parameter)
    return network.requires_grad_(False)


# The oracle: relevances handed back step by step by slow loops over the equations of arXiv 2402.05602, for one window.


def _back_linear(x: list[float], layer: nn.Linear, out: list[float]) -> list[float]:
    """Equation 8: R_i = Σ_j x_i w_ji R_j / z_j."""
    found = [0.0] * len(x)
    for j, relevance in enumerate(out):
        weights = layer.weight[j].tolist()
        z = sum(w * v for w, v in zip(weights, x)) + (0.0 if layer.bias is None else layer.bias[j].item())
        for i, value in enumerate(x):
            found[i] += value * weights[i] * relevance / z
    return found


def _back_norm(x: list[float], norm: nn.LayerNorm, out: list[float]) -> list[float]:
    """Proposition 3.4: the division by the deviation and the weight keep relevance; x - mean x is linear, equation 8."""
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + norm.eps)
    found = [0.0] * len(x)
    for j, relevance in enumerate(out):
        weight, bias = norm.weight[j].item(), 0.0 if norm.bias is None else norm.bias[j].item()
        scaled = weight * (x[j] - mean) / deviation
        relevance = relevance * scaled / (scaled + bias)
        for i, value in enumerate(x):
            found[i] += value * ((i == j) - 1 / len(x)) * relevance / (x[j] - mean)
    return found


def _back_softmax(x: list[float], out: list[float]) -> list[float]:
    """Proposition 3.1: R_i = x_i (R_i - s_i Σ_j R_j)."""
    exponentials = [math.exp(v) for v in x]
    shares = [e / sum(exponentials) for e in exponentials]
    return [v * (r - s * sum(out)) for v, r, s in zip(x, out, shares)]


def _back_product(a: list[list[float]], b: list[list[float]], out: list[list[float]]) -> tuple[Any, Any]:
    """Proposition 3.3: R_ji = Σ_p A_ji V_ip R_jp / (2 O_jp), and the same for V."""
    of_a, of_b = [[0.0] * len(row) for row in a], [[0.0] * len(row) for row in b]
    for j in range(len(a)):
        for p in range(len(b[0])):
            o = sum(a[j][i] * b[i][p] for i in range(len(b)))
            for i in range(len(b)):
                share = a[j][i] * b[i][p] * out[j][p] / (2 * o)
                of_a[j][i] += share
                of_b[i][p] += share
    return of_a, of_b


def _back_sum(a: list[float], b: list[float], out: list[float]) -> tuple[list[float], list[float]]:
    """Equation 8 for a sum."""
    return [x * r / (x + y) for x, y, r in zip(a, b, out)], [y * r / (x + y) for x, y, r in zip(a, b, out)]


def _rows(rows: list[Any], back: Callable[..., Any], *inputs: list[Any]) -> list[Any]:
    return [back(*(given[i] for given in inputs), out) for i, out in enumerate(rows)]


def _back_block(block: Any, x: Tensor, out: list[list[float]]) -> list[list[float]]:
    normed = block.norm1(x)
    query, key, value = rearrange(block.qkv(normed), "l (three h d) -> three h l d", three=3, h=HEADS)
    scores = query @ key.transpose(1, 2) * (WIDTH // HEADS) ** -0.5
    mixed = rearrange(scores.softmax(-1) @ value, "h l d -> l (h d)")
    middle = x + block.out(mixed)
    up = block.up(block.norm2(middle))
    down = block.down(block.activation(up))

    parts = _rows(out, _back_sum, middle.tolist(), down.tolist())
    hidden = [
        _back_linear(a, block.down, r) for a, (_, r) in zip(block.activation(up).tolist(), parts)
    ]  # equation 9: the activation keeps relevance
    of_normed = [_back_linear(v, block.up, r) for v, r in zip(block.norm2(middle).tolist(), hidden)]
    of_middle = [
        [a + b for a, b in zip(direct, _back_norm(v, block.norm2, r))]
        for v, (direct, _), r in zip(middle.tolist(), parts, of_normed)
    ]
    parts = _rows(of_middle, _back_sum, x.tolist(), block.out(mixed).tolist())
    of_mixed = [_back_linear(v, block.out, r) for v, (_, r) in zip(mixed.tolist(), parts)]
    of_qkv = [[0.0] * (3 * WIDTH) for _ in range(TOKENS)]
    size = WIDTH // HEADS
    for head in range(HEADS):
        columns = slice(head * size, (head + 1) * size)
        of_weights, of_value = _back_product(
            scores[head].softmax(-1).tolist(), value[head].tolist(), [row[columns] for row in of_mixed]
        )
        of_scores = [_back_softmax(s, r) for s, r in zip(scores[head].tolist(), of_weights)]
        of_query, of_key = _back_product(query[head].tolist(), key[head].T.tolist(), of_scores)
        for token in range(TOKENS):
            for d in range(size):
                of_qkv[token][head * size + d] = of_query[token][d]
                of_qkv[token][WIDTH + head * size + d] = of_key[d][token]
                of_qkv[token][2 * WIDTH + head * size + d] = of_value[token][d]
    of_normed = [_back_linear(v, block.qkv, r) for v, r in zip(normed.tolist(), of_qkv)]
    return [
        [a + b for a, b in zip(direct, _back_norm(v, block.norm1, r))]
        for v, (direct, _), r in zip(x.tolist(), parts, of_normed)
    ]


def relevance_by_loops(network: nn.Sequential, x: Tensor) -> Tensor:
    """Return the relevance of the tokens (L, WIDTH) of one window for class 1."""
    values = [x]
    for block in network[:-1]:
        values.append(block(values[-1][None])[0])
    head: Any = network[-1]
    normed = head.norm(values[-1][0])
    out = [0.0, head.fc(normed)[1].item()]
    first = _back_norm(values[-1][0].tolist(), head.norm, _back_linear(normed.tolist(), head.fc, out))
    relevance = [first, *([0.0] * WIDTH for _ in range(TOKENS - 1))]
    for block, value in reversed(list(zip(network[:-1], values))):
        relevance = _back_block(block, value, relevance)
    return torch.tensor(relevance, dtype=torch.float64)
