from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vidcam.cam.extremal import AREA, area_term, extremal, smoothed
from vidcam.cam.hiding import absent
from vidcam.cam.scored import InputParams, ScoredWindows
from vidcam.errors import ModelError, SettingsError


def _scored(windows: Tensor, score: Callable[[Tensor], Tensor], **params: object) -> tuple[ScoredWindows, list[int]]:
    passes = [0]

    def on_pass() -> None:
        passes[0] += 1

    return ScoredWindows(windows, score, InputParams(**params), on_pass), passes  # type: ignore[arg-type]


def _moving(size: tuple[int, int, int]) -> Tensor:
    """Windows (2, 3, T, H, W) whose mean colour is 0 and whose pixels are 1 or -1."""
    signs = torch.ones(size)
    signs.view(-1)[1::2] = -1
    return signs.expand(2, 3, *size).clone().double()


def test_the_area_term_by_hand() -> None:
    mask = torch.tensor([[[[0.2, 0.9], [1.0, 0.0]]], [[[0.0, 1.0], [0.0, 0.0]]]]).double()
    expected = [0.0**2 + 0.2**2 + 0.9**2 + (1 - 1.0) ** 2, 0.0]  # one of four is wanted to be 1
    np.testing.assert_allclose(area_term(mask, 0.25), expected, atol=1e-7)


def test_the_smooth_maximum_by_a_slow_loop() -> None:
    mask = torch.rand((1, 3, 4, 5), generator=torch.Generator().manual_seed(0)).double()
    expected = np.zeros(mask.shape[1:])
    near = list(product((-1, 0, 1), repeat=3))
    for u in np.ndindex(expected.shape):
        values = []
        for d in near:
            v = np.add(u, d)
            inside = (v >= 0).all() and (v < expected.shape).all()
            values.append(np.exp(-np.dot(d, d)) * float(mask[0][tuple(v)]) if inside else 0.0)
        weights = np.exp(np.array(values) / 0.05)
        expected[u] = (weights * values).sum() / weights.sum()
    np.testing.assert_allclose(smoothed(mask)[0], expected, rtol=1e-6)


BOX = (slice(2, 5), slice(2, 6), slice(4, 9))  # 60 of 6x10x10 cells, a tenth


@pytest.mark.slow
def test_the_mask_of_a_linear_score_is_where_its_weights_are() -> None:
    windows = _moving((6, 10, 10))
    weights = torch.zeros((2, 6, 10, 10)).double()
    weights[(0, *BOX)], weights[(1, *BOX)] = 1, 1
    weights[1] = weights[1].flip(2)
    weights += 0.1 * torch.rand(weights.shape, generator=torch.Generator().manual_seed(1))
    given, passes = _scored(
        windows, lambda w: (w.mean(1) * windows.mean(1) * weights).sum((1, 2, 3)), absent="grey", passes=60
    )
    found = extremal(given)
    assert passes == [60] and found.heat.shape == (2, 6, 10, 10)
    assert found.converged is not None and (found.converged > 0.99).all()
    for heat, own in zip(found.heat, weights):
        mask = heat / heat.max()
        assert float(mask.mean()) == pytest.approx(AREA, abs=0.04)  # its area is held, but for soft edges
        strongest = mask.flatten().argsort(descending=True)[:60]
        assert float((own.flatten()[strongest] > 0.5).double().mean()) > 0.85
        best = own.flatten().sort(descending=True).values[: round(AREA * own.numel())].sum()
        shown = (mask * own).sum()  # the mask's edges are soft, and the best one's are sharp
        assert 0.65 * best < shown < best
    alone, _ = _scored(
        windows[1:], lambda w: (w.mean(1) * windows[1:].mean(1) * weights[1:]).sum((1, 2, 3)), absent="grey", passes=60
    )
    torch.testing.assert_close(extremal(alone).heat[0], found.heat[1], rtol=1e-3, atol=1e-3)


def test_the_heat_is_the_mask_times_what_it_gains() -> None:
    windows = _moving((2, 4, 4))
    given, passes = _scored(
        windows, lambda w: 5 + (w * windows)[:, :, :, :2].mean((1, 2, 3, 4)), absent="grey", passes=20
    )
    heat = extremal(given).heat
    assert passes == [20] and heat[:, :, :2].mean() > 3 * heat[:, :, 2:].mean()
    against, _ = _scored(windows, lambda w: -(w * windows).mean((1, 2, 3, 4)), absent="grey", passes=20)
    assert not extremal(against).heat.any()


def _curved(weights: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda windows: (4 * (windows * weights).mean((1, 2, 3, 4))).tanh()


def test_the_steps_by_a_slow_loop_with_differences_in_place_of_gradients() -> None:
    size, steps = (8, 1, 2), 9  # of the mask
    windows, weights = torch.rand((2, 2, 3, 10, 1, 2), generator=torch.Generator().manual_seed(0)).double()
    at = (np.arange(10) + 0.5) * 8 / 10 - 0.5  # centres of the window's frames in steps of the mask
    found = extremal(_scored(windows, _curved(weights), absent="grey", passes=steps + 3)[0])
    for n in range(2):
        window, hidden, score = windows[n : n + 1], absent(windows[n : n + 1], "grey"), _curved(weights[n])

        def gained(mask: Tensor, window: Tensor = window, hidden: Tensor = hidden, score: Any = score) -> float:
            shown = torch.from_numpy(np.apply_along_axis(lambda row: np.interp(at, range(8), row), 1, mask.numpy()))
            return float(score(shown * window + (1 - shown) * hidden) - score(hidden))

        def value(logits: Tensor, step: int, gained: Callable[[Tensor], float] = gained) -> float:
            mask = smoothed(logits.sigmoid())
            cells = sorted(mask.flatten().tolist())
            area = sum(cell**2 for cell in cells[:14]) + sum((1 - cell) ** 2 for cell in cells[14:])  # a tenth of 16
            return 16 * gained(mask) / abs(gained(torch.ones_like(mask))) - 300 * step / steps * area

        logits, velocity, masks = torch.zeros(1, *size).double(), torch.zeros(1, *size).double(), []
        for step in range(steps):
            gradient = torch.zeros_like(logits)
            for cell in product(*map(range, size)):
                nudge = torch.zeros_like(logits)
                nudge[(0, *cell)] = 1e-6
                gradient[(0, *cell)] = (value(logits + nudge, step) - value(logits - nudge, step)) / 2e-6
            velocity = 0.9 * velocity + gradient
            logits = logits + 0.03 * velocity
            masks.append(smoothed(logits.sigmoid()))
        np.testing.assert_allclose(found.heat[n], masks[-1][0] * gained(masks[-1]), rtol=1e-4)
        r = np.corrcoef(masks[-1].flatten(), masks[6].flatten())[0, 1]  # three quarters of the steps
        assert found.converged is not None and float(found.converged[n]) == pytest.approx(r, abs=1e-4) and 0 < r < 1


def test_the_mask_has_no_more_cells_than_the_window() -> None:
    for size, cells in (((9, 15, 16), (8, 14, 14)), ((3, 5, 7), (3, 5, 7))):
        given, _ = _scored(_moving(size), lambda w: w.mean((1, 2, 3, 4)), absent="grey", passes=5)
        assert extremal(given).heat.shape == (2, *cells)


def test_rounding_gives_no_heat() -> None:
    windows, generator = _moving((4, 8, 8)).float(), torch.Generator().manual_seed(0)

    def score(given: Tensor) -> Tensor:
        return 30 + 1e-5 * torch.rand(len(given), generator=generator) + 0 * given.mean((1, 2, 3, 4))

    assert not extremal(_scored(windows, score, passes=10)[0]).heat.any()


def test_what_it_needs() -> None:
    windows = _moving((2, 4, 4))
    with pytest.raises(SettingsError, match="extremal takes 5 passes or more, and 4 are given; give more passes"):
        extremal(_scored(windows, lambda w: w.mean((1, 2, 3, 4)), passes=4)[0])
    with pytest.raises(ModelError, match="has no gradient by the window's pixels"):
        extremal(_scored(windows, lambda w: w.detach().mean((1, 2, 3, 4)))[0])
