from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vidcam.errors import SettingsError
from vidcam.metrics.faithfulness import (
    average_drop,
    explanation_clip,
    filling,
    increase_in_confidence,
    rearranged,
    wins,
)


def test_drop_increase_and_wins_of_a_case_worked_by_hand() -> None:
    whole, first, second = np.array([0.8, 0.5, 0.4]), np.array([0.4, 0.6, 0.4]), np.array([0.2, 0.3, 0.4])
    np.testing.assert_allclose(average_drop(whole, first), [50, 0, 0])
    np.testing.assert_allclose(average_drop(whole, second), [75, 40, 0])
    np.testing.assert_array_equal(increase_in_confidence(whole, first), [0, 100, 0])
    found = wins({"a": first, "b": second})
    np.testing.assert_array_equal(found["a"], [100, 100, 50])
    np.testing.assert_array_equal(found["a"] + found["b"], [100, 100, 100])


def test_a_map_shows_the_clip_and_its_complement_the_fill() -> None:
    frames, hidden = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    mask = torch.zeros(2, 4, 4)
    mask[0, :2] = 1
    mask[1] = 0.25
    seen = explanation_clip(frames, mask, hidden)
    assert torch.equal(seen[:, 0, :2], frames[:, 0, :2])
    assert torch.equal(seen[:, 0, 2:], hidden[:, 0, 2:])
    torch.testing.assert_close(seen[:, 1], 0.25 * frames[:, 1] + 0.75 * hidden[:, 1])


def test_fills() -> None:
    frames = 255 * torch.rand(3, 5, 40, 60, generator=torch.Generator().manual_seed(0))
    assert filling(frames, "black").abs().max() == 0
    mean = filling(frames, "mean")
    torch.testing.assert_close(mean[:, 2, 7, 9], frames.flatten(1).mean(1))
    frozen = filling(frames, "freeze")
    assert all(torch.equal(frozen[:, t], frames[:, 0]) for t in range(5))
    blurred = filling(frames, "blur")
    assert blurred.shape == frames.shape
    assert blurred.std((2, 3)).max() < frames.std((2, 3)).min() / 10
    torch.testing.assert_close(blurred.mean((2, 3)), frames.mean((2, 3)), rtol=0.03, atol=0)
    with pytest.raises(SettingsError, match="no fill 'pink'; choose one of black, mean, blur, freeze"):
        filling(frames, "pink")  # type: ignore[arg-type]


def test_rearranging_keeps_the_values_and_loses_the_places() -> None:
    heat = np.arange(4 * 7 * 7, dtype=np.float32).reshape(4, 7, 7)
    other = rearranged(heat, seed=1)
    np.testing.assert_array_equal(np.sort(other.ravel()), heat.ravel())
    assert abs(np.corrcoef(heat.ravel(), other.ravel())[0, 1]) < 0.3
    np.testing.assert_array_equal(other, rearranged(heat, seed=1))


def test_blurred_is_a_gaussian_of_a_tenth_of_the_shorter_side() -> None:
    frames = torch.rand(3, 2, 40, 60)
    found = filling(frames, "blur").numpy()
    for channel, t in ((0, 0), (2, 1)):
        expected = gaussian_filter(frames[channel, t].double().numpy(), 4, mode="mirror", truncate=6)
        np.testing.assert_allclose(found[channel, t], expected, atol=2e-3)


def test_what_is_rearranged_keeps_its_shape_and_values() -> None:
    heat = np.arange(24.0).reshape(2, 3, 4)
    found = rearranged(heat, 1)
    assert found.shape == heat.shape and sorted(found.ravel()) == sorted(heat.ravel())
    assert not np.array_equal(found, heat) and np.array_equal(found, rearranged(heat, 1))
