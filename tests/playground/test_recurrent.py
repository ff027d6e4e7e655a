from __future__ import annotations

import torch
from torch import nn

from vidcam.cam.capture import captured
from vidcam.playground.recurrent import RECURRENT, RecurrentFrames


def test_the_scores_are_those_of_a_loop_over_places_and_frames() -> None:
    torch.manual_seed(0)
    network, windows = RecurrentFrames(5, hidden=6).eval(), torch.randn(2, 3, 5, 24, 16)
    ahead, back = nn.GRUCell(128, 6), nn.GRUCell(128, 6)
    for cell, suffix in ((ahead, "_l0"), (back, "_l0_reverse")):
        cell.load_state_dict(
            {name.removesuffix(suffix): v for name, v in network.gru.state_dict().items() if name.endswith(suffix)}
        )
    with torch.no_grad():
        features = network.cnn(windows).unflatten(0, (2, 5))
        for window, expected in zip(features, network(windows)):
            found = []
            for place in window.flatten(2).unbind(2):
                states = {}
                for cell, order in ((ahead, range(5)), (back, reversed(range(5)))):
                    state = torch.zeros(6)
                    for frame in order:
                        states[cell, frame] = state = cell(place[frame], state)
                for frame in range(5):
                    found.append(network.project(torch.cat([states[ahead, frame], states[back, frame]])).relu())
            torch.testing.assert_close(network.fc(torch.stack(found).mean(0)), expected)


def test_the_layer_gives_a_map_for_each_frame_which_sees_that_frame_alone() -> None:
    torch.manual_seed(0)
    network, windows = RECURRENT.build(11).eval(), torch.randn(1, 3, 8, 112, 112)
    changed = windows.clone()
    changed[:, :, 3] += 1
    activations = []
    for given in (windows, changed):
        with captured(network, ["cnn"], given, layout=RECURRENT.layout) as capture:
            activations.append(capture.activations["cnn"].detach())
    assert activations[0].shape == (1, 128, 8, 14, 14)
    differs = (activations[0] != activations[1]).any(1).flatten(2).any(2)[0]
    assert differs.nonzero().flatten().tolist() == [3]
