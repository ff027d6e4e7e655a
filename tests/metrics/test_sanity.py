from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vidcam.metrics.sanity import cascading_randomisation, flicker, rank_correlation, stages
from vidcam.playground.networks import SmallR2Plus1D
from vidcam.playground.tubelet import TubeletTransformer


def test_rank_correlation_is_pearson_of_ranks_with_ties_averaged() -> None:
    a, b = np.array([1.0, 2, 2, 5]), np.array([3.0, 1, 4, 9])
    ranks = np.array([1, 2.5, 2.5, 4]), np.array([2.0, 1, 3, 4])
    assert rank_correlation(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert rank_correlation(a, -a) == -1
    assert rank_correlation(a, np.ones(4)) == 0


def test_stages_are_children_with_weights_and_wrappers_are_opened() -> None:
    network = SmallR2Plus1D(3)
    assert stages(network) == ["stem", "layer1", "layer2", "layer3", "fc"]
    assert stages(nn.Sequential(nn.ModuleDict({"net": network}))) == [f"0.net.{s}" for s in stages(network)]
    assert stages(nn.Sequential(nn.ReLU(), nn.Linear(2, 2))) == ["1"]


def test_weights_are_randomised_from_the_output_down_and_the_network_is_left_alone() -> None:
    network = SmallR2Plus1D(3).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    remaining = stages(network)
    for stage, changed in cascading_randomisation(network, seed=0):
        assert stage == remaining.pop()
        for name, part in changed.named_children():
            weights = [p for n, p in part.named_parameters() if p.ndim > 1]
            originals = [before[f"{name}.{n}"] for n, p in part.named_parameters() if p.ndim > 1]
            same = all(torch.equal(a, b) for a, b in zip(weights, originals))
            assert same == (name in remaining or not weights)
    assert not remaining
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_class_token_and_positions_are_randomised_with_the_stage_at_the_input() -> None:
    network = nn.Sequential(TubeletTransformer(3, width=6, depth=1, heads=1))
    own = {name: value.clone() for name, value in network[0].named_parameters(recurse=False)}
    assert set(own) == {"cls_token", "time_embedding", "place_embedding"}
    kept = [
        [torch.equal(changed[0].get_parameter(name), value) for name, value in own.items()]
        for _, changed in cascading_randomisation(network, seed=0)
    ]
    assert kept == [[True] * 3] * 4 + [[False] * 3]


def test_flicker_is_the_mean_change_as_a_share_of_the_peak() -> None:
    heat = np.zeros((3, 1, 2))
    heat[1] = [[2, 4]]
    assert flicker(heat) == pytest.approx((2 + 4 + 2 + 4) / 4 / 4)
    assert flicker(np.ones((5, 2, 2))) == 0
    assert flicker(np.zeros((5, 2, 2))) == 0


def test_two_faint_frames_flicker_by_hand() -> None:
    heat = np.array([[[0.0, 0.5]], [[0.25, 0.5]]], np.float32)
    assert flicker(heat) == pytest.approx(0.125 / 0.5)
    assert flicker(np.zeros((0, 2, 2))) == flicker(heat[:1]) == 0.0 and flicker(0 * heat) == 0.0


def test_ranks_of_maps_whose_range_is_one_or_nothing() -> None:
    a = np.arange(5) / 4
    assert rank_correlation(a, a**3) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.ones(5)) == 0.0 and rank_correlation(np.ones(5), a) == 0.0


def test_what_is_drawn_leaves_the_random_numbers_of_others_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    list(cascading_randomisation(network, 0))
    assert torch.equal(torch.rand(3), expected)


def test_a_parameter_of_one_number_is_drawn_around_it() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([100.0]))

    *_, (_, changed) = cascading_randomisation(nn.Sequential(Scaled()), 0)
    (drawn,) = changed.parameters()
    assert 90 < drawn.item() < 110 and drawn.item() != 100


def test_the_weights_drawn_depend_on_the_seed_alone() -> None:
    network, drawn = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), []
    for outside, seed in ((1, 0), (2, 0), (2, 5)):
        torch.manual_seed(outside)
        *_, (_, changed) = cascading_randomisation(network, seed)
        drawn.append(torch.cat([p.detach().flatten() for p in changed.parameters()]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
