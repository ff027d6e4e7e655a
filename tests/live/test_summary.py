from __future__ import annotations

import numpy as np

from vidcam.live.summary import Summary


def test_delays_are_quantiles_to_a_hundredth() -> None:
    summary, delays = Summary(), np.random.default_rng(0).gamma(2.0, 0.4, 2000)
    for index, delay in enumerate(delays):
        summary.shown(index / 30 + delay, delay, explained=index % 4 > 0)
    for share in (0.5, 0.9, 0.99):
        assert abs(summary.delay(share) - np.quantile(delays, share)) <= 0.02
    assert np.isclose(summary.rate, 30.0) and summary.unexplained == 500


def test_frames_that_are_shown_in_a_burst_have_the_rate_of_their_capture() -> None:
    summary = Summary()
    for index in range(41):  # a short clip, all of it shown when its last window is explained
        summary.shown(2.0 + index / 1000, 2.0 + index / 1000 - index / 30, explained=True)
    assert np.isclose(summary.rate, 30.0) and np.isclose(summary.seconds, 40 / 30)


def test_an_empty_run_has_no_rate_and_no_delay_and_long_delays_are_bounded() -> None:
    summary = Summary()
    assert summary.rate == summary.delay(0.5) == 0.0
    summary.shown(0.0, 1e6, explained=True)
    assert summary.delay(0.5) == 60.0
