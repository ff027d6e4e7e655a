from __future__ import annotations

from dataclasses import replace

import pytest

from vidcam.results.check import Check

CHECK = Check(20 / 196, 1.0, 1.9, "frozen", 0.97, 0.35, (0.93, 0.97, 0.91))


def test_a_map_passes_that_costs_more_than_each_random_choice() -> None:
    assert CHECK.cost == pytest.approx(0.62) and CHECK.random_costs.tolist() == pytest.approx([0.04, 0, 0.06])
    assert CHECK.passed
    assert not replace(CHECK, hottest=0.91).passed  # as much as one of them
    assert not replace(CHECK, untested="nothing to test").passed


def test_its_sentence() -> None:
    assert CHECK.sentence() == (
        "hiding its hottest 10 % from 1.00 to 1.90 s lowers the score from 0.97 by 0.62; 10 % at random by 0.033 "
        "(0 to 0.06, 3 times)"
    )
    assert replace(CHECK, untested="its score is low").sentence() == "the check does not apply: its score is low"
