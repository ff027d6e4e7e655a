from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from einops import rearrange

from vidcam.cam.hiding import absent, block_indices, random_mask
from vidcam.errors import SettingsError

SIZE = (8, 14, 14)


def _interpolated(size: int, cells: int) -> list[np.ndarray]:
    """The share of each of `cells` + 1 cells in each of `size` pixels, (size, cells + 1), at each offset: a slow loop."""
    step = -(-size // cells)
    found = []
    for offset in range(step):
        shares = np.zeros((size, cells + 1))
        for pixel in range(size):
            at = min(max((pixel + offset + 0.5) / step - 0.5, 0), cells)
            low = int(at)
            shares[pixel, low] += 1 - (at - low)
            if at > low:
                shares[pixel, low + 1] += at - low
        found.append(shares)
    return found


def covariance() -> list[np.ndarray]:
    """The exact covariance of a mask's pixels along each axis, of cells that are shown with probability 0.5, times 4."""
    return [np.mean([s @ s.T for s in _interpolated(size, cells)], 0) for size, cells in zip(SIZE, (4, 7, 7))]


def test_masks_have_the_expectation_and_the_covariance_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.stack([random_mask(SIZE, generator) for _ in range(6000)]).double().numpy()
    assert masks.shape[1:] == SIZE and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks.mean(0), 0.5, atol=0.03)
    t, h, w = covariance()
    for at in ((0, 0, 0), (3, 6, 7), (7, 13, 13)):
        expected = np.einsum("t,h,w->thw", t[at[0]], h[at[1]], w[at[2]]) / 4
        centred = masks - 0.5
        np.testing.assert_allclose(
            (centred * centred[:, at[0], at[1], at[2]][:, None, None, None]).mean(0), expected, atol=0.02
        )


@pytest.mark.parametrize("size", [(8, 14, 14), (5, 16, 9), (2, 3, 20), (1, 7, 1)])
def test_a_mask_is_its_cells_interpolated_at_an_offset(size: tuple[int, int, int]) -> None:
    grid = [min(cells, side) for cells, side in zip((4, 7, 7), size)]
    drawing = torch.Generator().manual_seed(2)
    cells = (torch.rand([count + 1 for count in grid], generator=drawing) < 0.5).double().numpy()
    shares = [_interpolated(side, count) for side, count in zip(size, grid)]
    t, h, w = (of[int(torch.randint(0, len(of), (), generator=drawing))] for of in shares)
    found = random_mask(size, torch.Generator().manual_seed(2))
    assert found.shape == size
    np.testing.assert_allclose(found, np.einsum("ta,hb,wc,abc->thw", t, h, w, cells), atol=1e-6)


def test_the_blurred_middle_frame() -> None:
    windows = torch.rand((2, 3, 5, 40, 30), generator=torch.Generator().manual_seed(0))
    found, every = absent(windows, "frozen-blurred"), absent(windows, "blurred")
    assert found.shape == every.shape == windows.shape
    for n, step in itertools.product(range(2), range(5)):
        for shown, of in ((found, 2), (every, step)):
            frame = rearrange(windows[n, :, of], "c h w -> h w c").numpy()
            expected = cv2.GaussianBlur(frame, (19, 19), 3.0, borderType=cv2.BORDER_REFLECT_101)
            np.testing.assert_allclose(rearrange(shown[n, :, step], "c h w -> h w c"), expected, atol=1e-5)
    one = torch.ones(1, 3, 2, 1, 1)
    assert torch.equal(absent(one, "frozen-blurred"), one) and torch.equal(absent(one, "blurred"), one)


def test_the_middle_frame_and_the_mean_colour() -> None:
    windows = torch.rand((2, 3, 4, 5, 6), generator=torch.Generator().manual_seed(0)).half()
    frozen, grey = absent(windows, "frozen"), absent(windows, "grey")
    assert frozen.dtype == grey.dtype == torch.half
    for n, c, t in itertools.product(range(2), range(3), range(4)):
        assert torch.equal(frozen[n, c, t], windows[n, c, 2])
        np.testing.assert_allclose(grey[n, c, t], np.full((5, 6), windows[n, c].double().mean()), atol=1e-3)
    with pytest.raises(
        SettingsError, match="there is no kind of absence 'black'; choose one of frozen, neighbour, blurred"
    ):
        absent(windows, "black")


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (16, [4, 4, 4, 4, 3, 3, 8, 8, 7, 7, 12, 12, 11, 11, 11, 11]),
        (6, [2, 2, 1, 2, 5, 4]),
        (3, [1, 0, 1]),
        (1, [0]),
    ],
)
def test_the_nearest_frame_of_another_quarter(frames: int, shown: list[int]) -> None:
    windows = torch.rand((2, 3, frames, 2, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(absent(windows, "neighbour"), windows[:, :, shown])


@pytest.mark.parametrize(("size", "grid"), [((4, 6, 8), (2, 3, 4)), ((7, 5, 9), (3, 5, 4)), ((1, 1, 1), (1, 1, 1))])
def test_blocks_are_as_even_as_they_can_be(size: tuple[int, int, int], grid: tuple[int, int, int]) -> None:
    found = block_indices(size, grid)
    assert found.shape == size
    for t, h, w in itertools.product(*map(range, size)):
        block = [int(at * cells / side) for at, cells, side in zip((t, h, w), grid, size)]
        assert found[t, h, w] == (block[0] * grid[1] + block[1]) * grid[2] + block[2]
    assert sorted(found.unique().tolist()) == list(range(grid[0] * grid[1] * grid[2]))
