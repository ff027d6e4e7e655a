from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

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


def test_equal_voxels_stand_in_the_order_of_noise_as_coarse_as_a_map() -> None:
    shape = (16, 28, 42)
    noise = torch.rand(1, 1, 8, 14, 14, generator=torch.Generator().manual_seed(3))[0, 0].double().numpy()
    axes = [np.clip((np.arange(n) + 0.5) * h / n - 0.5, 0, h - 1) for n, h in zip(shape, noise.shape)]
    smooth = map_coordinates(noise, np.meshgrid(*axes, indexing="ij"), order=1)
    expected = np.argsort(np.argsort(-smooth.ravel())).reshape(shape) / smooth.size
    found = ranks(torch.zeros(shape), seed=3).numpy()
    assert np.abs(found - expected).max() < 1e-3
    assert torch.equal(ranks(torch.zeros(shape), seed=3), ranks(torch.zeros(shape), seed=3))
    small = ranks(torch.zeros(2, 3, 5), seed=3).numpy()
    alone = torch.rand(1, 1, 2, 3, 5, generator=torch.Generator().manual_seed(3))[0, 0].numpy()
    assert np.array_equal(small, np.argsort(np.argsort(-alone.ravel())).reshape(2, 3, 5) / 30)


def test_there_is_one_step_more_than_intervals() -> None:
    frames, rank = torch.ones(3, 2, 2, 2), ranks(torch.rand(2, 2, 2))
    assert (
        deletion_frames(frames, rank, 4).shape == insertion_frames(frames, rank, 4, 0 * frames).shape == (5, 3, 2, 2, 2)
    )
