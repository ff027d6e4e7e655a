from __future__ import annotations

import torch
from torch import nn

from vidcam.cam.capture import captured
from vidcam.playground.tubelet import TUBELET, Attention, TubeletTransformer


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    attention, library = Attention(12, 3).double(), nn.MultiheadAttention(12, 3, batch_first=True).double()
    library.in_proj_weight, library.in_proj_bias = attention.qkv.weight, attention.qkv.bias
    library.out_proj.weight, library.out_proj.bias = attention.proj.weight, attention.proj.bias
    tokens, seen = torch.randn(2, 7, 12, dtype=torch.float64), []
    attention.softmax.register_forward_hook(lambda module, given, weights: seen.append(weights))
    expected, weights = library(tokens, tokens, tokens, average_attn_weights=False)
    torch.testing.assert_close(attention(tokens), expected)
    torch.testing.assert_close(seen[0], weights)


def test_tokens_lie_in_the_order_of_the_layout() -> None:
    torch.manual_seed(0)
    network, windows = TUBELET.build(11).eval(), torch.randn(1, 3, 16, 112, 112)
    changed = windows.clone()
    changed[:, :, 10, 40, 88] += 1  # the tubelet of frames 10 and 11, rows 32 to 47 and columns 80 to 95
    tokens = []
    network.blocks.register_forward_pre_hook(lambda module, given: tokens.append(given[0]))
    with torch.no_grad():
        network(windows), network(changed)
    assert tokens[0].shape == (1, 1 + 8 * 7 * 7, 96)
    difference = (tokens[0] - tokens[1])[0, 1:].norm(dim=1).view(TubeletTransformer.grid)
    reached = [sorted(set(axis.tolist())) for axis in difference.nonzero().unbind(1)]
    assert reached == [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3], [4, 5, 6]]  # 17 frames and 49 pixels, a stride of 2 and 16


def test_the_class_token_alone_is_read_and_every_other_token_reaches_it_through_the_last_attention() -> None:
    torch.manual_seed(0)
    network, windows = TUBELET.build(11).eval(), torch.randn(2, 3, 16, 112, 112)
    layers = [TUBELET.layer, "blocks.2.norm1", "blocks.2"]
    with captured(network, layers, windows, layout=TUBELET.layout) as capture:
        gradients = capture.gradients(capture.output[:, 3])
    for layer in layers[:2]:
        assert gradients[layer].shape == (2, 96, 8, 7, 7) and gradients[layer].flatten(2).norm(dim=1).min() > 0
    assert gradients["blocks.2"].norm() == 0
