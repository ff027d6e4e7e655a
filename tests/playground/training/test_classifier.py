from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vidcam.playground.networks import SmallR2Plus1D, small_c3d
from vidcam.playground.shift import ShiftedFrames
from vidcam.playground.training.classifier import (
    TrainingWindows,
    start_from_motion,
    start_from_teacher,
    with_batch_norm,
    without_batch_norm,
)
from vidcam.playground.training.recipes import store


def test_training_windows_are_a_function_of_their_index() -> None:
    frames, target = TrainingWindows(10, 5)[2]
    again, same = TrainingWindows(12, 1)[0]
    assert frames.shape == (3, 16, 112, 112) and frames.dtype == torch.uint8
    assert torch.equal(frames, again) and target == same


def test_batch_norms_fold_away(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = with_batch_norm(small_c3d(11))
    x = torch.randn(2, 3, 16, 112, 112)
    network.train()(x)
    expected = network.eval()(x)
    plain = without_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm3d | nn.BatchNorm1d) for m in plain.modules())
    torch.testing.assert_close(plain(x), expected, rtol=1e-3, atol=1e-4)
    store(plain, tmp_path / "w.safetensors")
    state = load_file(tmp_path / "w.safetensors")
    assert set(state) == set(small_c3d(11).state_dict())
    assert all(v.dtype == torch.float16 for v in state.values())


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_gradients_under_bfloat16_are_those_of_float32(frames: int) -> None:
    """Over two frames the bfloat16 kernel of a convolution leaves its weight gradient partly unwritten."""
    torch.manual_seed(0)
    x = torch.randn(4, 8, frames, 7, 7).to(memory_format=torch.channels_last_3d)

    class OneConvolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv3d(8, 8, 3, padding=1), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).square().mean((2, 3, 4)))

    network = with_batch_norm(OneConvolution()).to(memory_format=torch.channels_last_3d)

    def gradient(bfloat16: bool) -> Tensor:
        network.zero_grad()
        torch.empty(10_000).fill_(float("nan"))  # what unwritten memory may hold
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            scores = network(x)
        scores.float().square().sum().backward()
        return next(p.grad for p in network.parameters() if p.ndim == 5).clone()

    expected = gradient(False)
    for _ in range(3):
        assert (gradient(True) - expected).norm() < 0.2 * expected.norm()


def test_half_of_the_filters_start_as_differences_in_time() -> None:
    convolution = nn.Conv3d(2, 4, 3)
    start_from_motion(convolution)
    still = torch.ones(1, 2, 3, 3, 3) * torch.rand(1, 2, 1, 3, 3)
    response = convolution(still) - convolution.bias.view(1, 4, 1, 1, 1)
    assert response[0, :2].abs().max() < 1e-5 < response[0, 2:].abs().min()


def test_a_channel_takes_over_the_weights_of_the_frame_that_it_is_shifted_from() -> None:
    torch.manual_seed(0)
    teacher, student = SmallR2Plus1D(5), ShiftedFrames(5, frames=4)
    start_from_teacher(student.cnn, teacher)
    for name, channels in (("stem", 24), ("layer2.conv1", 144), ("layer3.conv2", 192)):
        over_time, shifted = teacher.get_submodule(name)[3], student.cnn.get_submodule(name)[3]
        x = torch.randn(2, channels, 4, 3, 3)
        for channel in range(channels):  # each passes on the frame that it is shifted from alone
            kept = [2 if channel < channels // 8 else 0 if channel < channels // 4 else 1]
            dropped = [tap for tap in range(3) if tap not in kept]
            over_time.weight.data[:, channel, dropped] = 0
        with torch.no_grad():
            expected = over_time(x)
            found = shifted(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 4)).transpose(1, 2)
        torch.testing.assert_close(found, expected)
    assert torch.equal(student.cnn.layer1.conv2[0].weight, teacher.layer1.conv2[0].weight[:, :, 0])
    assert torch.equal(student.cnn.layer1.shortcut[0].weight, teacher.layer1.shortcut[0].weight[:, :, 0])
