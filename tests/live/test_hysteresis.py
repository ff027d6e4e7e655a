from __future__ import annotations

import numpy as np

from vidcam.live.hysteresis import LabelHysteresis


def _shown(leads: list[float]) -> list[int]:
    """Return the shown class at steps of 0.1 s, given the lead of class 1 over class 0."""
    label = LabelHysteresis(margin=0.1, seconds=0.25)
    label.update(np.array([1.0, 0.0]), 0.0)
    return [label.update(np.array([0.5 - x / 2, 0.5 + x / 2]), 0.1 * (i + 1)) for i, x in enumerate(leads)]


def test_a_class_that_leads_for_long_enough_is_shown() -> None:
    assert _shown([0.5] * 5) == [0, 0, 0, 1, 1]


def test_flicker_and_small_leads_change_nothing() -> None:
    assert set(_shown([0.5, -0.5] * 10)) == {0}
    assert set(_shown([0.05] * 20)) == {0}


def test_a_rival_that_changes_begins_anew() -> None:
    label = LabelHysteresis(margin=0.1, seconds=0.2)
    found = []
    for tenth, best in enumerate([0, 1, 1, 2, 2, 2, 2]):
        found.append(label.update(np.eye(3)[best], tenth / 10))
    assert found == [0, 0, 0, 0, 0, 2, 2]
