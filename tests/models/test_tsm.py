from __future__ import annotations

import torch
from torch import nn

from vidcam.models.tsm import TSM, TemporalShift
from vidcam.models.tsn import TSN


def test_channels_are_shifted_between_frames() -> None:
    frames, channels = 4, 16
    x = torch.randn(2 * frames, channels, 3, 3, generator=torch.Generator().manual_seed(0))
    shifted = TemporalShift(nn.Identity(), frames)(x)
    for n in range(2):
        for t in range(frames):
            for c in range(channels):
                source = t + 1 if c < channels // 8 else t - 1 if c < channels // 4 else t
                expected = x[n * frames + source, c] if 0 <= source < frames else torch.zeros(3, 3)
                assert torch.equal(shifted[n * frames + t, c], expected)


def test_windows_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    network = TSM(5, 4).eval()
    windows = torch.randn(2, 3, 4, 64, 64)
    with torch.inference_mode():
        both, alone = network(windows), torch.cat([network(windows[:1]), network(windows[1:])])
    assert both.shape == (2, 5)
    torch.testing.assert_close(both, alone)


def test_without_a_shift_it_is_the_network_of_frames() -> None:
    torch.manual_seed(0)
    tsn, window = TSN(5, 4).eval(), torch.randn(1, 3, 4, 64, 64)
    frames = nn.Sequential(tsn.base_model, nn.AdaptiveAvgPool2d(1), nn.Flatten(), tsn.new_fc)
    with torch.inference_mode():
        expected = torch.stack([frames(window[:, :, t]) for t in range(4)]).mean(0)
        torch.testing.assert_close(tsn(window), expected)
        torch.testing.assert_close(tsn(window.flip(2)), expected)
        shifted = TSM(5, 4).eval()
        assert not torch.allclose(shifted(window), shifted(window.flip(2)))


def test_each_residual_block_shifts_and_features_have_time() -> None:
    with torch.device("meta"):
        network = TSM(5, 8)
        shifts = [name for name, module in network.named_modules() if isinstance(module, TemporalShift)]
        assert len(shifts) == 16 and all(name.endswith(".conv1") for name in shifts)
        assert network.features(torch.zeros(16, 2048, 7, 7)).shape == (2, 2048, 8, 7, 7)
