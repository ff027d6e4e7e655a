from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidcam.metrics.perturbation import (
    area_under,
    deletion_frames,
    highest_confidence,
    insertion_frames,
    kept_frames,
    ranks,
)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=24, max_size=24))
def test_ranks_are_a_permutation_and_never_put_a_weaker_voxel_first(values: list[float]) -> None:
    heat = torch.tensor(values).view(2, 3, 4)
    rank = ranks(heat)
    assert sorted((rank.flatten() * 24).round().int().tolist()) == list(range(24))
    order = rank.flatten().argsort()
    falling = heat.flatten()[order]
    assert (falling[1:] <= falling[:-1]).all()


def test_equal_voxels_go_in_patches_and_not_one_by_one() -> None:
    rank = ranks(torch.zeros(16, 112, 112))
    neighbours = (rank[:, :, 1:] - rank[:, :, :-1]).abs().mean()
    assert neighbours < 0.05  # of voxels in random order it would be a third


def test_deletion_and_insertion_go_through_the_clip_by_the_map() -> None:
    heat = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(1))
    frames, blurred = torch.rand(3, 2, 6, 5) + 1, torch.full((3, 2, 6, 5), 0.5)
    rank = ranks(heat)
    deleted, inserted = deletion_frames(frames, rank, 10), insertion_frames(frames, rank, 10, blurred)
    assert torch.equal(deleted[0], frames) and deleted[-1].abs().max() == 0
    assert torch.equal(inserted[0], blurred) and torch.equal(inserted[-1], frames)
    for i in range(11):
        strongest = set(heat.flatten().topk(6 * i).indices.tolist())
        gone = (deleted[i] == 0).all(0).flatten().nonzero().flatten().tolist()
        come = (inserted[i] == frames).all(0).flatten().nonzero().flatten().tolist()
        assert set(gone) == strongest == set(come)


def test_area_under_a_line_and_a_step() -> None:
    assert abs(area_under(np.linspace(1, 0, 11)) - 0.5) < 1e-12
    assert area_under(np.array([1.0, 1.0, 0.0, 0.0, 0.0])) == 0.375


def test_what_is_kept_and_its_highest_confidence() -> None:
    heat = torch.arange(100.0).view(4, 5, 5)
    kept = kept_frames(torch.ones(3, 4, 5, 5), ranks(heat))
    assert kept.shape == (24, 3, 4, 5, 5)
    assert [int(k[0].sum()) for k in kept] == [4 * i for i in range(1, 25)]
    assert kept[0, 0].flatten()[96:].min() == 1
    curve = np.arange(24) / 24
    assert [highest_confidence(curve, p) for p in (0.25, 0.5, 0.75, 1)] == [5 / 24, 11 / 24, 17 / 24, 23 / 24]
