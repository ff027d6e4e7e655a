from __future__ import annotations

import numpy as np
import pytest

from vidcam.playground.distractors import Background, Ball, Lamp, PasserBy, Pillar


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("clutter", [0.0, 0.5, 1.0])
def test_a_background_pans_no_farther_than_its_margin(clutter: float) -> None:
    for seed in range(20):
        background = Background.random(_rng(seed), 5.0, clutter)
        assert 5.0 * np.abs(background.velocity).max() <= clutter * Background.MARGIN + 1e-9
    wall = background.texture(64)
    assert wall.shape == (109, 109, 3) and wall.dtype == np.uint8 and wall.std() > 3


def test_a_ball_rolls_on_and_comes_again() -> None:
    ball = Ball.random(_rng())
    image = np.zeros((100, 100, 3), np.uint8)
    lap = 1.4 / abs(ball.velocity)
    first, radius = ball.draw(image, 0.0, (0.0, 0.0))
    assert radius == max(2, round(ball.radius * 100))
    moved, _ = ball.draw(image.copy(), lap / 4, (0.0, 0.0))
    assert moved[0] != first[0] and ball.draw(image.copy(), lap, (0.0, 0.0))[0][0] == pytest.approx(first[0], abs=1)
    drawn = np.zeros((100, 100, 3), np.uint8)
    (x, y), radius = ball.draw(drawn, lap / 8, (0.5 - ball.start[0], 0.5 - ball.start[1]))
    ys, xs = np.nonzero(drawn.any(axis=2))
    if len(xs):
        assert np.hypot(xs - x, ys - y).max() <= radius + 2


def test_a_lamp_flickers_where_it_hangs() -> None:
    lamp = Lamp.random(_rng())
    levels = []
    for step in range(40):
        image = np.zeros((100, 100, 3), np.uint8)
        lamp.draw(image, step / lamp.per_second + 1e-6, (0.0, 0.0))
        levels.append(int(image[round(lamp.centre[1] * 100), round(lamp.centre[0] * 100)].max()))
    light = 0.12 + 0.88 * lamp.flicker[:40]
    np.testing.assert_allclose(levels, max(lamp.colour) * light, atol=1)


def test_a_passer_by_walks_through_and_comes_again() -> None:
    walker = PasserBy.random(_rng(3))
    xs = np.array([walker.x(t) for t in np.linspace(0, 20, 400)])
    assert xs.min() >= -0.3 and xs.max() <= 1.3 and np.ptp(xs) > 1.4
    assert walker.x(1.6 / abs(walker.velocity)) == pytest.approx(walker.x(0.0))


def test_a_pillar_hides_who_is_behind_it() -> None:
    pillar = Pillar(0.5, 0.2, (9, 8, 7))
    image, ids = np.full((100, 100, 3), 200, np.uint8), np.ones((100, 100), np.uint8)
    pillar.draw(image, (0.1, 0.0), ids)
    hidden = (image == (9, 8, 7)).all(axis=2)
    np.testing.assert_array_equal(hidden, ids == 0)
    assert np.nonzero(hidden[0])[0].tolist() == list(range(50, 70)) and hidden[:, 50:70].all()
    Pillar(-0.5, 0.2, (9, 8, 7)).draw(image, (0.0, 0.0), None)  # beside the picture
