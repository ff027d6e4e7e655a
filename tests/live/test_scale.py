from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidcam.live.scale import DecayingPeak

_STEPS = st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), min_size=1, max_size=30)


@given(_STEPS)
def test_the_scale_is_the_highest_of_all_decayed_values_and_of_the_least_share(
    steps: list[tuple[float, float]],
) -> None:
    scale, seconds, values, times = DecayingPeak(half_life=7.0, least=0.1), 0.0, [], []
    for value, apart in steps:
        seconds += apart
        values.append(value)
        times.append(seconds)
        found = scale.update(value, seconds)
        decayed = np.array(values) * 0.5 ** ((seconds - np.array(times)) / 7.0)
        # a peak that is held up by the least share goes on decaying from there: the slow formula has both
        lowest = max(0.1 * max(values[: i + 1]) * 0.5 ** ((seconds - times[i]) / 7.0) for i in range(len(times)))
        assert np.isclose(found, max(decayed.max(), lowest, 0.1 * max(values)), rtol=1e-6)
        assert found >= value


def test_a_time_that_goes_back_does_not_raise_the_scale() -> None:
    scale = DecayingPeak(half_life=1.0)
    assert scale.update(8.0, 10.0) == 8.0
    assert scale.update(1.0, 5.0) == 8.0
    assert scale.update(1.0, 11.0) == 4.0
