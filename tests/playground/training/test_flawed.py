from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidcam.playground.canvas import FRAMES, SIDE
from vidcam.playground.flaws import FLAWS, render
from vidcam.playground.training import flawed
from vidcam.playground.training.flawed import LAYER, REACH, FlawedNetwork, FlawedWindows, flawed_model


def test_training_windows_are_the_clips_of_training() -> None:
    windows = FlawedWindows(FLAWS["background"], 1, 5, 3)
    frames, label = windows[2]
    clip = render("background", 240_001, 7, training=True)
    assert len(windows) == 3 and label == clip.label
    np.testing.assert_array_equal(frames.numpy(), clip.frames.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_cell_sees_its_receptive_field_and_the_head_its_grid(flaw: str) -> None:
    kind = FLAWS[flaw]
    torch.manual_seed(0)
    network = FlawedNetwork(kind.classes, kind.grid, kind.frames_apart).eval()
    window = torch.randn(1, 3, FRAMES, SIDE, SIDE, requires_grad=True)
    modules = dict(network.named_children())
    output = window
    for name in list(modules)[: list(modules).index(LAYER) + 1]:
        output = modules[name](output)
    assert output.shape == (1, 32, FRAMES, SIDE // 4, SIDE // 4)
    (gradient,) = torch.autograd.grad(output[0, :, 4, 7, 7].sum(), window)
    seen = gradient[0].abs().sum(0).nonzero()
    middle = 4 * 7  # the pixel in the middle of the cell's field
    assert (seen[:, 1:] - middle).abs().max() == REACH
    assert set(seen[:, 0].tolist()) == ({4} if kind.frames_apart else set(range(1, 8)))
    assert network(window).shape == (1, kind.classes)


@pytest.mark.slow
def test_a_network_is_trained_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flawed, "STEPS", 6)
    seen: list[int] = []
    model = flawed_model("colour", 1, tmp_path, progress=lambda step, loss, accuracy: seen.append(step))
    assert seen == [1, 2, 3, 4, 5, 6] and {p.name for p in tmp_path.iterdir()} == {"colour-1.safetensors"}
    again = flawed_model("colour", 1, tmp_path, progress=lambda *_: pytest.fail("it was trained again"))
    window = torch.randn(1, 3, FRAMES, SIDE, SIDE)
    torch.testing.assert_close(model.network(window), again.network(window))
    assert (model.spec.name, model.spec.layer, len(model.labels)) == ("colour 1", LAYER, 4)
