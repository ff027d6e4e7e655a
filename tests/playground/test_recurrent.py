from __future__ import annotations

import torch
from torch import nn

from vidcam.cam.capture import captured
from vidcam.playground.recurrent import RECURRENT, RecurrentFrames


def test_the_scores_are_those_of_a_loop_over_frames() -> None:
    torch.manual_seed(0)
    network, windows = RecurrentFrames(5, hidden=8).eval(), torch.randn(2, 3, 6, 32, 32)
    cells = [nn.GRUCell(128, 8), nn.GRUCell(8, 8)]
    for layer, cell in enumerate(cells):
        cell.load_state_dict(
            {name[:-3]: v for name, v in network.gru.state_dict().items() if name.endswith(f"l{layer}")}
        )
    with torch.no_grad():
        for window, expected in zip(windows, network(windows)):
            states, seen = [torch.zeros(8), torch.zeros(8)], []
            for frame in window.unbind(1):
                given = network.norm(network.cnn(frame[None, :, None]).mean((0, 2, 3)))
                for layer, cell in enumerate(cells):
                    given = states[layer] = cell(given, states[layer])
                seen.append(given)
            torch.testing.assert_close(network.fc(torch.stack(seen).mean(0)), expected)


def test_the_layer_gives_a_map_for_each_frame_and_the_last_frame_changes_no_earlier_state() -> None:
    torch.manual_seed(0)
    network, windows = RECURRENT.build(11).eval(), torch.randn(1, 3, 8, 112, 112)
    with captured(network, ["cnn"], windows, layout=RECURRENT.layout) as capture:
        states, _ = network.gru(network.norm(capture.activations["cnn"].mean((3, 4)).transpose(1, 2)))
        torch.testing.assert_close(network.fc(states.mean(1)), capture.output)
        assert capture.activations["cnn"].shape == (1, 128, 8, 14, 14)
