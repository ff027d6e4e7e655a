from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.cam.transformer import HEADS, TOKENS, WIDTH, Block, Head, eager, relevance_by_loops, transformer
from vidcam.cam.attribute import class_activation_map
from vidcam.cam.capture import captured
from vidcam.cam.layout import Layout
from vidcam.cam.relevance import relevance_rules
from vidcam.errors import LayerError
from vidcam.models.torchvision_import import import_torchvision


def _tokens(seed: int = 0, windows: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(windows, TOKENS, WIDTH, dtype=torch.float64, generator=generator).requires_grad_()


def _relevance(network: nn.Module, x: Tensor) -> Tensor:
    scores = network(x)[:, 1]
    with relevance_rules(scores):
        (gradient,) = torch.autograd.grad(scores.sum(), x)
    return (x * gradient).detach()


@pytest.mark.parametrize("attention", [eager, nn.functional.scaled_dot_product_attention])
@pytest.mark.parametrize("activation", [nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.ReLU()])
def test_relevance_is_that_of_the_papers_equations(attention: Callable[..., Tensor], activation: nn.Module) -> None:
    for seed in range(2):
        network, x = transformer(seed, attention=attention, activation=activation), _tokens(seed)
        expected = torch.stack([relevance_by_loops(network, window) for window in x.detach()])
        torch.testing.assert_close(_relevance(network, x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("constant", ["query", "key", "value"])
def test_attention_to_what_is_constant(constant: str) -> None:
    """A query that is learned, as in the pooling by attention of V-JEPA 2: its product with the keys is linear in them."""
    x = torch.randn(1, HEADS, TOKENS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for attention in (eager, nn.functional.scaled_dot_product_attention):
        leaf = x.clone().requires_grad_()
        given = {name: (x if name == constant else leaf) / (1 + i) for i, name in enumerate(("query", "key", "value"))}
        scores = attention(**given)[:, 0, 0, 0]
        with relevance_rules(scores):
            found += torch.autograd.grad(scores.sum(), leaf)
    torch.testing.assert_close(found[0], found[1])
    assert found[0].abs().sum() > 0.1


@pytest.mark.parametrize("weights", [True, False])
def test_pytorchs_own_attention_has_the_same_relevance(weights: bool) -> None:
    network, x = transformer(blocks=1), _tokens()
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

    network, x = transformer(seed, blocks, attention=attention, bias=bias), _tokens(seed, 1)
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
    network, x = transformer(), _tokens()
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
    network, x = transformer(), _tokens()
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


@pytest.mark.parametrize("product", ["baddbmm", "addmm"])
def test_a_product_with_a_constant_added_has_the_rule_of_the_product(product: str) -> None:
    x, constant = _tokens().detach(), torch.ones(TOKENS, TOKENS, dtype=torch.float64)
    x = x if product == "baddbmm" else x[0]
    added = getattr(torch, product)
    found = []
    for weights in (lambda x: added(constant, x, x.mT), lambda x: constant + x @ x.mT):
        given = x.clone().requires_grad_()
        scores = (weights(given).softmax(-1) @ given)[..., 0, 0]
        with relevance_rules(scores):
            found += torch.autograd.grad(scores.sum(), given)
    torch.testing.assert_close(found[0], found[1])
    assert found[0].abs().sum() > 0.1
