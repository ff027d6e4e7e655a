from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.capture import captured
from vidcam.cam.layout import Layout
from vidcam.cam.relevance import relevance_rules
from vidcam.errors import LayerError
from vidcam.models.torchvision_import import import_torchvision

WIDTH, HEADS, TOKENS = 4, 2, 3


def _eager(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    return weights @ value


class Block(nn.Module):
    """A block of a transformer, with attention by one of several kernels."""

    def __init__(
        self, attention: Callable[..., Tensor] = _eager, activation: nn.Module | None = None, bias: bool = True
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


def _network(seed: int = 0, blocks: int = 2, **settings: Any) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(*(Block(**settings) for _ in range(blocks)), Head(settings.get("bias", True))).double()
    with torch.no_grad():
        for parameter in network.parameters():  # those of norms are 1 and 0
            parameter += 0.3 * torch.randn_like(parameter)
    return network.requires_grad_(False)


def _tokens(seed: int = 0, windows: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(windows, TOKENS, WIDTH, dtype=torch.float64, generator=generator).requires_grad_()


def _relevance(network: nn.Module, x: Tensor) -> Tensor:
    scores = network(x)[:, 1]
    with relevance_rules(scores):
        (gradient,) = torch.autograd.grad(scores.sum(), x)
    return (x * gradient).detach()


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


def _by_loops(network: nn.Sequential, x: Tensor) -> Tensor:
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


@pytest.mark.parametrize("attention", [_eager, nn.functional.scaled_dot_product_attention])
@pytest.mark.parametrize("activation", [nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.ReLU()])
def test_relevance_is_that_of_the_papers_equations(attention: Callable[..., Tensor], activation: nn.Module) -> None:
    for seed in range(2):
        network, x = _network(seed, attention=attention, activation=activation), _tokens(seed)
        expected = torch.stack([_by_loops(network, window) for window in x.detach()])
        torch.testing.assert_close(_relevance(network, x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weights", [True, False])
def test_pytorchs_own_attention_has_the_same_relevance(weights: bool) -> None:
    network, x = _network(blocks=1), _tokens()
    block: Any = network[0]
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double().requires_grad_(False)
    theirs.in_proj_weight.copy_(block.qkv.weight), theirs.in_proj_bias.copy_(block.qkv.bias)
    theirs.out_proj.weight.copy_(block.out.weight), theirs.out_proj.bias.copy_(block.out.bias)
    expected = _relevance(network, x)

    def forward(x: Tensor) -> Tensor:
        normed = block.norm1(x)
        x = x + theirs(normed, normed, normed, need_weights=weights)[0]
        return network[1](x + block.down(block.activation(block.up(block.norm2(x)))))

    block.forward, network.forward = forward, forward  # type: ignore[method-assign]
    torch.testing.assert_close(_relevance(network, x), expected)


class Rewritten(TorchFunctionMode):
    """The rules in the forward pass: each operation is replaced by one with the same value and the rule's derivative."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        x = args[0] if args else None
        if not isinstance(found, Tensor) or not found.requires_grad or not isinstance(x, Tensor):
            return found
        match function.__name__:
            case "gelu":
                return x * (found / x).detach()
            case "matmul" if isinstance(args[1], Tensor) and x.requires_grad and args[1].requires_grad:
                return found.detach() / 2 + found / 2
            case "layer_norm":
                given, centred = dict(kwargs or {}), x - x.mean(-1, keepdim=True)
                deviation = (centred.var(-1, keepdim=True, correction=0) + given["eps"]).sqrt().detach()
                return centred / deviation * given["weight"] + given["bias"]
        return found


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["patch_embed", "features.0.1"])
def test_attention_within_windows_that_are_shifted(layer: str) -> None:
    """Video Swin (Liu et al. 2022, arXiv 2106.13230): rolled, padded and masked, with tokens that are merged."""
    import_torchvision()
    from torchvision.models.video import SwinTransformer3d

    torch.manual_seed(0)
    network = SwinTransformer3d([2, 4, 4], 6, [2, 2], [1, 2], [2, 2, 2], num_classes=3).double().eval()
    windows, layout = torch.randn(2, 3, 4, 24, 20, dtype=torch.float64), Layout("n t h w c")
    with captured(network, [layer], windows, layout=layout) as capture:
        found = capture.relevances(capture.output[:, 1])[layer]
    with Rewritten(), captured(network, [layer], windows, layout=layout) as capture:
        expected = capture.activations[layer] * capture.gradients(capture.output[:, 1])[layer]
        plain = capture.output
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(network(windows), plain)
    assert found.sum((1, 2, 3, 4)).abs().min() > 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), blocks=st.integers(1, 3), bias=st.booleans())
def test_no_relevance_is_lost(seed: int, blocks: int, bias: bool) -> None:
    """Relevance of the tokens, of the biases, and what each softmax keeps (proposition 3.1) add up to the score."""
    around: list[tuple[Tensor, Tensor]] = []

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = query @ key.transpose(-2, -1)
        around.append((scores, scores.softmax(-1)))
        return around[-1][1] @ value

    network, x = _network(seed, blocks, attention=attention, bias=bias), _tokens(seed, 1)
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    for parameter in biases:
        parameter.requires_grad_()
    scores = network(x)[:, 1]
    softmaxes = [tensor for pair in around for tensor in pair]
    parts = [x, *biases, *softmaxes]
    with relevance_rules(scores):
        gradients = torch.autograd.grad(scores.sum(), parts)
    shares = [(part * gradient).sum() for part, gradient in zip(parts, gradients)]
    kept = sum(after - before for before, after in zip(shares[-len(softmaxes) :: 2], shares[-len(softmaxes) + 1 :: 2]))
    torch.testing.assert_close(sum(shares[: -len(softmaxes)]) + kept, scores.sum(), rtol=1e-6, atol=1e-6)


def test_the_rules_end_with_the_block() -> None:
    network, x = _network(), _tokens()
    scores = network(x)[:, 1]
    (before,) = torch.autograd.grad(scores.sum(), x, retain_graph=True)
    with pytest.raises(KeyError), relevance_rules(scores):
        raise KeyError
    with relevance_rules(scores):
        (under,) = torch.autograd.grad(scores.sum(), x, retain_graph=True)
    (after,) = torch.autograd.grad(scores.sum(), x)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert (under - before).abs().max() > 1e-3


class Add(torch.autograd.Function):  # a name of PyTorch's
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def _changed_in_part(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 0].mul_(x[:, 1])
    return x


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (torch.tanh, "Tanh"),
        (lambda x: x * torch.sigmoid(x), "Sigmoid"),
        (lambda x: x / (1 + x.abs()), "Div"),
        (lambda x: nn.functional.group_norm(x.transpose(1, 2), 2).transpose(1, 2), "NativeGroupNorm"),
        (Add.apply, "AddBackward"),
        (_changed_in_part, "CopySlices"),
    ],
)
def test_an_operation_without_a_rule_is_named(operation: Callable[[Tensor], Tensor], named: str) -> None:
    network, x = _network(), _tokens()
    scores = network(operation(x))[:, 1]
    with (
        pytest.raises(LayerError, match=rf"no rule for .*\({named}\); choose a layer behind it"),
        relevance_rules(scores),
    ):
        pass


@pytest.mark.parametrize("target", [1, lambda scores: scores.softmax(1)[:, 1]])
def test_a_network_without_attention_is_refused(target: Any) -> None:
    network = nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    with pytest.raises(LayerError, match="attnlrp needs attention between the layer and the score, and there is none"):
        class_activation_map(network, torch.rand(1, 3, 4, 8, 8), layer="0", target=target, method="attnlrp")


class Video(nn.Module):
    """A transformer over tubelets of 2x4x4 with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, WIDTH, (2, 4, 4), (2, 4, 4))
        self.first = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.tokens, self.blocks, self.head = nn.Identity(), nn.Sequential(Block(), Block()), Head()

    def forward(self, x: Tensor) -> Tensor:
        tokens = rearrange(self.embed(x), "n c t h w -> n (t h w) c")
        return self.head(self.blocks(self.tokens(torch.cat([self.first.expand(len(x), 1, -1), tokens], 1))))


@pytest.fixture
def video() -> Iterator[Video]:
    torch.manual_seed(3)
    yield Video().eval()


def test_the_map_is_the_relevance_of_tokens_on_their_grid(video: Video) -> None:
    windows, layout = torch.rand(2, 3, 4, 8, 12), Layout("n (_ t h w) c", (2, 2, 3))
    with captured(video, ["tokens", "embed"], windows, layout=layout) as capture:
        scores = capture.output[:, 1]
        found = capture.relevances(scores)
    torch.testing.assert_close(found["embed"], found["tokens"])  # tokens are those of the convolution, in another order
    video.requires_grad_(False)
    tokens = rearrange(video.embed(windows), "n c t h w -> n (t h w) c")
    tokens = torch.cat([video.first.expand(2, 1, -1), tokens], 1).requires_grad_()
    expected = _relevance(nn.Sequential(video.blocks, video.head), tokens)[:, 1:].sum(2).reshape(2, 2, 2, 3)
    torch.testing.assert_close(found["tokens"].sum(1), expected, rtol=1e-4, atol=1e-6)
    heat = class_activation_map(video, windows, layer="tokens", target=1, method="attnlrp", layout=layout)
    whole = nn.functional.interpolate(expected[:, None].clamp(min=0), (4, 8, 12), mode="trilinear")[:, 0]
    torch.testing.assert_close(heat, whole, rtol=1e-4, atol=1e-6)


def test_behind_the_last_attention_it_is_refused(video: Video) -> None:
    with pytest.raises(LayerError, match="choose an earlier layer of a transformer, such as its embeddings"):
        class_activation_map(
            video,
            torch.rand(1, 3, 4, 8, 12),
            layer="blocks.1.norm2",
            target=1,
            method="attnlrp",
            layout=Layout("n (_ t h w) c", (2, 2, 3)),
        )


def test_a_head_that_works_in_place_is_run_again_with_copies(video: Video) -> None:
    windows, layout = torch.rand(2, 3, 4, 8, 12), Layout("n (_ t h w) c", (2, 2, 3))
    given = {"layer": "tokens", "target": 1, "method": "attnlrp", "layout": layout}
    expected = class_activation_map(video, windows, **given)  # type: ignore[arg-type]
    head: Any = video.head
    forward = head.forward

    def in_place(x: Tensor) -> Tensor:
        scores = forward(x)
        x.mul_(2)  # what the norm has saved
        return scores

    head.forward = in_place
    torch.testing.assert_close(class_activation_map(video, windows, **given), expected)  # type: ignore[arg-type]
