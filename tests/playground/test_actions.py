from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from vidcam.playground.actions import ACTIONS, LABELS, NOTHING, REST, sway, walk

PHASES = np.linspace(0, 1, 41)


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_are_cycles_of_their_own(name: str) -> None:
    poses = np.array([astuple(ACTIONS[name].pose(p)) for p in PHASES[:-1]])
    assert np.abs(np.diff(poses, axis=0)).max() < 60, "no joint jumps from one phase to the next"
    end = np.array(astuple(ACTIONS[name].pose(1 - 1e-9)))
    np.testing.assert_allclose(end[:2], poses[0, :2], atol=1e-3)
    turned = (end[2:] - poses[0, 2:] + 180) % 360 - 180  # a full turn of the arm is none
    assert np.abs(turned).max() <= 1
    assert np.ptp(poses, axis=0).max() > 10 and ACTIONS[name].period > 0
    for other in set(ACTIONS) - {name}:
        assert np.abs(poses - [astuple(ACTIONS[other].pose(p)) for p in PHASES[:-1]]).max() > 5, other


def test_labels_are_the_actions_and_nothing() -> None:
    assert (*sorted(ACTIONS), NOTHING) == LABELS


def test_mirroring_twice_changes_nothing_and_blending_is_linear() -> None:
    pose, other = ACTIONS["kicking"].pose(0.3), ACTIONS["waving"].pose(0.2)
    assert pose.mirrored() != pose and pose.mirrored().mirrored() == pose
    assert pose.mirrored().right_hip == pose.left_hip and pose.mirrored().lean == -pose.lean
    assert pose.blended(other, 0) == pose
    np.testing.assert_allclose(astuple(pose.blended(other, 1)), astuple(other))
    middle = np.mean([astuple(pose), astuple(other)], axis=0)
    np.testing.assert_allclose(astuple(pose.blended(other, 0.5)), middle)


def test_swaying_is_small_and_walking_swings_the_legs_against_each_other() -> None:
    assert all(np.abs(np.subtract(astuple(sway(p, 1.0)), astuple(REST))).max() <= 20 for p in PHASES)
    assert np.abs(np.subtract(astuple(sway(0.3, 0.0)), astuple(REST))).max() == 0
    assert walk(0.25).left_hip == pytest.approx(28) and walk(0.75).left_hip == pytest.approx(-28)
