from __future__ import annotations

import torch

from vidcam.playground.networks import SmallR2Plus1D, small_c3d


def test_the_last_block_keeps_an_eighth_of_the_side_and_half_of_the_window() -> None:
    network = SmallR2Plus1D(11).eval()
    seen = []
    network.layer3.register_forward_hook(lambda module, given, output: seen.append(tuple(output.shape)))
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 11)
    assert seen == [(2, 128, 8, 14, 14)]
    assert network.temporal_stem.kernel_size == (3, 1, 1) and network.temporal_stem.padding == (1, 0, 0)


def test_the_small_c3d_has_the_layers_of_the_paper() -> None:
    network = small_c3d(11).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 16, 112, 112)).shape == (1, 11)
    assert sum(isinstance(m, torch.nn.Conv3d) for m in network.modules()) == 8
    assert sum(p.numel() for p in network.parameters()) < 80e6 / 50
