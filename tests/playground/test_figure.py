from __future__ import annotations

import numpy as np
import pytest

from vidcam.playground.actions import REST, Pose
from vidcam.playground.figure import Look, colour_of, draw, limbs

LOOK = Look(stature=0.5, build=0.06, skin=(200, 150, 120), shirt=(0, 0, 250), trousers=(0, 250, 0))


def test_the_lowest_foot_stands_on_the_ground_plus_the_hop() -> None:
    for pose, above in ((REST, 0.0), (Pose(left_hip=70, left_knee=-90), 0.0), (Pose(hop=0.2), 0.1)):
        ends = [end for _, end, *_ in limbs(pose, LOOK, (0.5, 0.9))]
        assert max(y for _, y in ends) == pytest.approx(0.9 - above)


def test_a_figure_is_as_tall_as_its_stature() -> None:
    parts = limbs(Pose(left_hip=0, left_knee=0, right_hip=0, right_knee=0), LOOK, (0.5, 0.9))
    (head,) = [(start, width) for start, end, width, _ in parts if start == end]
    top = head[0][1] - head[1] / 2
    assert 0.9 - top == pytest.approx(LOOK.stature, rel=0.05)


def test_a_mirrored_pose_is_drawn_in_a_mirror() -> None:
    pose = Pose(dx=0.05, lean=10, right_shoulder=120, left_hip=40)
    plain = np.array([[*a, *b] for a, b, *_ in limbs(pose, LOOK, (0.0, 0.9))])
    turned = np.array([[*a, *b] for a, b, *_ in limbs(pose.mirrored(), LOOK, (0.0, 0.9))]) * [-1, 1, -1, 1]
    np.testing.assert_allclose(sorted(map(tuple, plain.round(9))), sorted(map(tuple, turned.round(9))), atol=1e-8)


def test_pixels_of_a_figure_are_tagged() -> None:
    image, ids = np.zeros((448, 448, 3), np.uint8), np.zeros((448, 448), np.uint8)
    draw(image, REST, LOOK, (0.5, 0.9), ids=ids, tag=3)
    seen = image.max(axis=2) > 60  # without the faint outermost pixels
    assert set(np.unique(ids)) == {0, 3} and (ids[seen] == 3).mean() > 0.9 and (seen[ids == 3]).mean() > 0.95
    assert {LOOK.shirt, LOOK.trousers, LOOK.skin} <= set(map(tuple, image.reshape(-1, 3).tolist()))
    rows = np.nonzero(ids.any(axis=1))[0]
    assert (rows[-1] - rows[0]) / 448 == pytest.approx(LOOK.stature, abs=0.06)


def test_looks_vary_within_their_bounds() -> None:
    looks = [Look.random(np.random.default_rng(seed)) for seed in range(50)]
    assert all(0.40 <= look.stature <= 0.62 and 0.055 <= look.build <= 0.08 for look in looks)
    assert len({look.shirt for look in looks}) > 40
    assert colour_of(np.array([-3.0, 7.9, 300.0])) == (0, 7, 255)
