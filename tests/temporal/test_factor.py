from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.temporal.factor import window_factors

SCORES = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)


@given(SCORES)
def test_the_papers_factor_is_exp_of_the_score_up_to_one_number_for_the_clip(scores: list[float]) -> None:
    factors = window_factors("exp", np.array(scores), None)
    assert factors.dtype == np.float32 and factors.max() == 1 and np.isfinite(factors).all()
    expected = [np.exp(np.longdouble(s) - np.longdouble(max(scores))) for s in scores]
    np.testing.assert_allclose(factors, np.array(expected, np.float64), rtol=1e-6, atol=1e-30)


def test_the_probability_is_a_factor_where_there_is_one() -> None:
    scores, probabilities = np.array([3.0, -1.0]), np.array([0.9, 0.1])
    np.testing.assert_allclose(window_factors("probability", scores, probabilities), [0.9, 0.1], rtol=1e-6)
    assert window_factors("probability", scores, None).tolist() == [1, 1]
    assert window_factors("none", scores, probabilities).tolist() == [1, 1]


def test_a_window_without_the_target_has_none() -> None:
    assert window_factors("exp", np.array([-np.inf, 2.0]), None).tolist() == [0, 1]


def test_no_such_factor() -> None:
    wrong: Any = "logit"
    with pytest.raises(SettingsError, match="no factor 'logit'; choose one of probability, exp, none"):
        window_factors(wrong, np.zeros(1), None)
