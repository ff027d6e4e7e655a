from __future__ import annotations

import numpy as np

from vidcam.temporal.curves import clip_probabilities, combined_curve, evidence_curve


def test_evidence_is_the_mean_over_space() -> None:
    maps = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_allclose(evidence_curve(maps), [2.5, 8.5])


def test_evidence_may_be_the_strongest_places() -> None:
    maps = np.random.default_rng(0).random((3, 5, 8))
    for frame, highest, top in zip(maps, evidence_curve(maps, "max"), evidence_curve(maps, "top")):
        places = sorted(frame.ravel().tolist(), reverse=True)
        assert highest == places[0]
        np.testing.assert_allclose(top, sum(places[:4]) / 4)
    np.testing.assert_allclose(evidence_curve(maps[:, :1, :3], "top"), maps[:, 0, :3].max(axis=1))


def test_a_clip_is_the_mean_of_its_windows() -> None:
    windows = np.array([[0.6, 0.4], [0.2, 0.8]])
    np.testing.assert_allclose(clip_probabilities(windows), [0.4, 0.6])


def test_windows_of_the_background_are_left_out_unless_all_are() -> None:
    windows = np.array([[0.1, 0.0, 0.9], [0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.0, 0.2, 0.8]])
    np.testing.assert_allclose(clip_probabilities(windows, background=2), [0.6, 0.25, 0.15])
    np.testing.assert_allclose(clip_probabilities(windows[[0, 3]], background=2), [0.05, 0.1, 0.85])


def test_score_and_evidence_together_by_hand() -> None:
    scores, evidence = np.array([[0.125, 1.0, 0.5], [0.9, 0.4, 0.1]]), np.array([[8.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(combined_curve(scores, evidence), [[0.5, 0.5, 0.0], [0, 0, 0]])
    np.testing.assert_allclose(combined_curve(scores[0], 1000 * evidence[0]), [0.5, 0.5, 0.0])


def test_a_class_that_is_never_probable_has_a_low_curve() -> None:
    """At its peak the curve is the geometric mean of p, p and 1, whatever the unit of the evidence."""
    scores, evidence = np.array([0.001, 0.027, 0.008]), np.array([0.0, 3e-6, 1e-6])
    np.testing.assert_allclose(combined_curve(scores, evidence), np.cbrt([0.0, 0.027**2, 0.008 * 0.027 / 3]))
    assert combined_curve(scores, evidence).max() < 0.1  # the least peak of a class that is present


def test_the_unit_of_evidence_does_not_matter() -> None:
    np.testing.assert_allclose(combined_curve(np.ones(2), np.array([0.1, 0.8])), [0.5, 1.0])


def test_the_strongest_tenth_of_many_places() -> None:
    maps = np.random.default_rng(1).random((4, 20, 30))
    expected = [np.sort(frame.ravel())[-60:].mean() for frame in maps]
    np.testing.assert_allclose(evidence_curve(maps, "top"), expected)


def test_each_curve_has_a_peak_of_its_own() -> None:
    evidence = np.array([[1.0, 8.0], [16.0, 2.0]])
    np.testing.assert_allclose(combined_curve(np.ones((2, 2)), evidence), [[0.5, 1], [1, 0.5]])
    assert combined_curve(np.ones((2, 0)), np.ones((2, 0))).shape == (2, 0)
