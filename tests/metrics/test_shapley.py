from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.metrics.shapley import shapley_values


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-10, 10), min_size=2**n, max_size=2**n)))
def test_they_are_the_mean_gain_over_all_orders(values: list[float]) -> None:
    v, count = np.array(values), len(values).bit_length() - 1
    gains = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        before = 0
        for part in order:
            gains[part] += v[before | 1 << part] - v[before]
            before |= 1 << part
    found = shapley_values(v)
    np.testing.assert_allclose(found, gains / len(orders), atol=1e-6)
    assert found.sum() == pytest.approx(v[-1] - v[0], abs=1e-6)


def test_parts_that_add_up_keep_their_own_value() -> None:
    own = np.array([3.0, -1.0, 0.5])
    values = np.array([sum(own[i] for i in range(3) if s >> i & 1) for s in range(8)])
    np.testing.assert_allclose(shapley_values(values), own)


@pytest.mark.parametrize("count", [0, 3, 1 << 17])
def test_other_numbers_of_values(count: int) -> None:
    with pytest.raises(ValueError, match=r"2\^n are needed, n from 0 to 16"):
        shapley_values(np.zeros(count))
