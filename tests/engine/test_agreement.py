from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.engine.agreement import Agreement, agreement, correlation
from vidcam.engine.attribution import Attributed, Key, WindowMap


def _attributed(probabilities: np.ndarray, maps: list[dict[Key, WindowMap]]) -> Attributed:
    return Attributed(probabilities, probabilities[:, None], maps)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=8), st.integers(0, 9))
def test_correlation_is_pearsons(values: list[float], seed: int) -> None:
    a = np.array(values, np.float32)
    b = np.random.default_rng(seed).normal(size=len(a)).astype(np.float32)
    if np.ptp(a) > 1e-3:
        assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-4)


def test_correlation_of_constant_maps() -> None:
    flat, other = np.zeros((2, 3, 3)), np.arange(18.0).reshape(2, 3, 3)
    assert correlation(flat, flat + 2) == 1
    assert correlation(flat, other) == correlation(other, flat) == 0


def test_agreement_is_that_of_all_maps_of_a_place_together_and_of_the_worst_place() -> None:
    rising, falling = np.arange(4.0).reshape(1, 2, 2), -np.arange(4.0).reshape(1, 2, 2)
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])

    def maps(*heats: np.ndarray, layer: str = "l") -> list[dict[Key, WindowMap]]:
        return [{i: WindowMap({("m", layer): heat}, 0.0, 1.0, np.ones(1))} for i, heat in enumerate(heats)]

    one, other = maps(rising, rising), maps(rising, 0.1 * falling)
    assert agreement(_attributed(probabilities, one), _attributed(probabilities, one)) == Agreement(
        pytest.approx(1), True
    )
    expected = np.corrcoef(np.stack([rising, rising]).ravel(), np.stack([rising, 0.1 * falling]).ravel())[0, 1]
    assert 0 < expected < 1
    found = agreement(_attributed(probabilities, one), _attributed(probabilities[:, ::-1], other))
    assert found == Agreement(pytest.approx(expected), False)
    for window, more in zip(one + other, maps(rising, rising, rising, falling, layer="k")):
        (key,), (key_of_more,) = window, more
        window[key].heat.update(more[key_of_more].heat)
    worst = agreement(_attributed(probabilities, one), _attributed(probabilities, other)).correlation
    assert worst == pytest.approx(np.corrcoef([*range(4)] * 2, [*range(4), 0, -1, -2, -3])[0, 1])


def test_one_window_with_another_top_class_is_not_the_same_top() -> None:
    one, other = np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    maps: list[dict[Key, WindowMap]] = [{0: WindowMap({("m", "l"): np.arange(4.0)}, 0.0, 1.0, np.ones(1))}] * 2
    assert agreement(_attributed(one, maps), _attributed(one, maps)).same_top
    assert not agreement(_attributed(one, maps), _attributed(other, maps)).same_top
