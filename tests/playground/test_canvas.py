from __future__ import annotations

import numpy as np

from vidcam.playground.canvas import FRAMES, HALF, SIDE, Canvas, disc, square


def test_what_is_drawn_later_hides_what_was_drawn_before() -> None:
    canvas = Canvas(np.random.default_rng(0))
    below, above = square(20, 20), square(20 + HALF, 20)
    canvas.paint("below", below, np.array([10.0, 20.0, 30.0]))
    canvas.paint("above", above, np.arange(FRAMES).reshape(-1, 1, 1, 1))
    np.testing.assert_array_equal(canvas.elements["below"], below & ~above)
    np.testing.assert_array_equal(canvas.elements["above"], above)
    assert (canvas.frames[below & ~above] == [10, 20, 30]).all()
    assert all((canvas.frames[t][above[t]] == t).all() for t in range(FRAMES))


def test_an_element_that_is_left_out_changes_nothing() -> None:
    canvas, bare = Canvas(np.random.default_rng(0), ["disc"]), Canvas(np.random.default_rng(0))
    canvas.paint("disc", disc(np.full(FRAMES, 9.0), np.full(FRAMES, 9.0)), np.zeros(3))
    assert not canvas.elements
    np.testing.assert_array_equal(canvas.finished(np.random.default_rng(1)), bare.finished(np.random.default_rng(1)))


def test_shapes() -> None:
    inside = square(10, 30)
    assert inside.shape == (FRAMES, SIDE, SIDE) and inside[0].sum() == (2 * HALF + 1) ** 2 and inside[:, 30, 10].all()
    round_ = disc(np.arange(FRAMES) + 10.0, np.full(FRAMES, 20.0), 2)
    assert round_[3].sum() == 13 and round_[3, 20, 13]  # the points of a grid within 2 of its centre
