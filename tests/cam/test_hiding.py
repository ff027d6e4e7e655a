from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.capture import captured
from vidcam.cam.hiding import blurred_middle, random_mask
from vidcam.cam.methods import rise

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


def _covariance() -> list[np.ndarray]:
    """The exact covariance of a mask's pixels along each axis, of cells that are shown with probability 0.5, times 4."""
    return [np.mean([s @ s.T for s in _interpolated(size, cells)], 0) for size, cells in zip(SIZE, (4, 7, 7))]


def test_masks_have_the_expectation_and_the_covariance_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.stack([random_mask(SIZE, generator) for _ in range(6000)]).double().numpy()
    assert masks.shape[1:] == SIZE and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks.mean(0), 0.5, atol=0.03)
    t, h, w = _covariance()
    for at in ((0, 0, 0), (3, 6, 7), (7, 13, 13)):
        expected = np.einsum("t,h,w->thw", t[at[0]], h[at[1]], w[at[2]]) / 4
        centred = masks - 0.5
        np.testing.assert_allclose(
            (centred * centred[:, at[0], at[1], at[2]][:, None, None, None]).mean(0), expected, atol=0.02
        )


@pytest.mark.slow
def test_rise_converges_to_the_exact_map_of_a_linear_score() -> None:
    weights = torch.randn(SIZE, generator=torch.Generator().manual_seed(2)).double()
    t, h, w = _covariance()
    covariance = np.einsum("at,bh,cw,thw->abc", t, h, w, weights.numpy()) / 4
    exact = np.clip(covariance / 0.5, 0, None)
    errors = []
    for count in (100, 400, 1600):
        of_seeds = []
        for seed in range(6):
            generator = torch.Generator().manual_seed(100 * seed + count)
            masks = torch.stack([random_mask(SIZE, generator) for _ in range(count)]).double()
            scores = torch.einsum("mthw,thw->m", masks, weights)[None]
            of_seeds.append(np.abs(rise((masks, scores))[0].numpy() - exact).mean())
        errors.append(np.mean(of_seeds))
    slope = np.polyfit(np.log([100, 400, 1600]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1) and errors[-1] < 0.3 * exact.mean()


def test_rise_does_not_change_with_a_constant_of_the_score() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, scores = torch.rand((20, 2, 3, 4), generator=generator), torch.randn((2, 20), generator=generator)
    torch.testing.assert_close(rise((masks, scores)), rise((masks, scores + 7)), atol=1e-5, rtol=1e-4)
    by_hand = sum((scores[1, m] - scores[1].mean()) * masks[m] for m in range(20)) / masks.sum(0)
    torch.testing.assert_close(rise((masks, scores))[1], by_hand.clamp(min=0))


def test_what_is_hidden_is_the_blurred_middle_frame() -> None:
    windows = torch.rand((2, 3, 5, 40, 30), generator=torch.Generator().manual_seed(0))
    found = blurred_middle(windows)
    assert found.shape == windows.shape
    for n in range(2):
        frame = rearrange(windows[n, :, 2], "c h w -> h w c").numpy()
        expected = cv2.GaussianBlur(frame, (19, 19), 3.0, borderType=cv2.BORDER_REFLECT_101)
        for step in range(5):
            np.testing.assert_allclose(rearrange(found[n, :, step], "c h w -> h w c"), expected, atol=1e-5)
    assert blurred_middle(torch.ones(1, 3, 2, 1, 1)).tolist() == torch.ones(1, 3, 2, 1, 1).tolist()


class Place(nn.Module):
    """Scores the movement in one place; its last layer has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.AvgPool3d((2, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.keep(x)
        with torch.no_grad():
            score = (x - x.roll(1, 2))[:, :, 3:6, 8:16, 20:28].abs().mean((1, 2, 3, 4))
        return torch.stack([score, -score], 1)


def test_rise_finds_the_place_of_a_network_without_gradients() -> None:
    window = torch.rand((1, 3, 8, 32, 32), generator=torch.Generator().manual_seed(3))
    network = Place().eval()
    heat = class_activation_map(network, window, layer="keep", target=0, method="rise")[0]
    t, h, w = np.unravel_index(int(heat.argmax()), heat.shape)
    assert 2 <= t < 7 and 8 <= h < 16 and 20 <= w < 28
    with captured(network, ["keep"], window) as capture:
        masks, scores = capture.random_masks("keep", lambda output: output[:, 0], 40)
    assert masks.shape == (40, 4, 8, 8) and scores.shape == (1, 40)
    generator = torch.Generator().manual_seed(0)
    for index in range(40):
        mask = random_mask(window.shape[2:], generator)
        with torch.no_grad():
            expected = network(mask * window + (1 - mask) * blurred_middle(window))[:, 0]
        torch.testing.assert_close(scores[:, index], expected)
