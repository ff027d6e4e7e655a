from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from vidcam.metrics.estimate import Tally, between_seeds, estimate


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = estimate(values)
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)
    assert found == estimate(values)


def test_one_clip_has_no_interval() -> None:
    assert estimate([54.316]).interval == "one clip" and estimate([1.0, 1.0]).interval == "1.000–1.000"


def test_equal_values_have_no_spread() -> None:
    found = estimate([0.25] * 3)
    assert (found.mean, found.low, found.high, found.count) == (0.25, 0.25, 0.25, 3)


def test_a_tally_takes_figures_as_they_come() -> None:
    tally = Tally()
    tally.update({"a": 1.0, "b": None})
    tally.update({"a": 2.0, "b": 4.0})
    found = tally.compute()
    assert (found["a"].mean, found["a"].count) == (1.5, 2)
    assert (found["b"].mean, found["b"].count) == (4.0, 1)


def test_seeds_are_told_by_mean_and_sample_deviation() -> None:
    assert between_seeds([0.5, 0.7, 0.6]) == "0.600 ± 0.100"
    assert between_seeds([1.0, 2.0], digits=1) == "1.5 ± 0.7"
    assert between_seeds([0.25]) == "0.250 ± 0.000"


def test_the_interval_is_scipys_percentile_bootstrap_of_ten_thousand() -> None:
    values = np.random.default_rng(1).normal(0, 1, 30)
    interval = bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0), batch=500
    ).confidence_interval
    found = estimate(values)
    assert (found.low, found.high) == (interval.low, interval.high)
    assert estimate([1, 2]).mean == 1.5
