from __future__ import annotations

import torch

from vidcam.playground.shift import SHIFT, ShiftedFrames


def test_the_scores_are_the_mean_over_frames() -> None:
    torch.manual_seed(0)
    network, windows = ShiftedFrames(5, frames=6).eval(), torch.randn(2, 3, 6, 32, 32)
    with torch.no_grad():
        features = network.cnn(windows).unflatten(0, (2, 6)).mean((3, 4))
        of_frames = torch.stack([torch.stack([network.fc(frame) for frame in window]) for window in features])
        torch.testing.assert_close(network(windows), of_frames.mean(1))


def test_seven_shifts_reach_seven_frames() -> None:
    torch.manual_seed(0)
    network, windows = ShiftedFrames(11, frames=17).eval(), torch.randn(1, 3, 17, 32, 32)
    changed = windows.clone()
    changed[:, :, 8] += 1
    with torch.no_grad():
        differs = (network.cnn(windows) != network.cnn(changed)).flatten(1).any(1)
    assert differs.nonzero().flatten().tolist() == list(range(1, 16))
    assert SHIFT.layer == "cnn" and SHIFT.layout.pattern == "(n t) c h w"
