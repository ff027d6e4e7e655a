from __future__ import annotations

import torch
from torch import nn

from vidcam.playground.frame_cnn import FrameBlock, FrameCNN
from vidcam.playground.networks import SmallR2Plus1D


def test_each_frame_is_a_row_of_the_batch_and_sees_itself_alone() -> None:
    torch.manual_seed(0)
    network, windows = FrameCNN(widths=(4, 4, 6, 8, 8)).eval(), torch.randn(2, 3, 5, 32, 32)
    with torch.no_grad():
        found = network(windows)
        alone = [network(windows[n : n + 1, :, t : t + 1])[0] for n in range(2) for t in range(5)]
    assert found.shape == (10, 8, 4, 4)
    torch.testing.assert_close(found, torch.stack(alone))


def test_a_block_without_its_convolutions_is_its_shortcut() -> None:
    torch.manual_seed(0)
    block, x = FrameBlock(3, 4, stride=2).eval(), torch.randn(1, 3, 8, 8)
    torch.nn.init.zeros_(block.conv2[4].weight)
    with torch.no_grad():
        torch.testing.assert_close(block(x), block.shortcut(x).relu())
        assert block(x).shape == (1, 4, 4, 4)


def test_its_layers_have_the_names_and_channels_of_those_of_the_residual_network() -> None:
    theirs = dict(SmallR2Plus1D(5).named_modules())
    for name, module in FrameCNN().named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == theirs[name].weight.shape[:2]
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_features == theirs[name].num_features
