from __future__ import annotations

import numpy as np
import pytest

from vidcam.errors import SettingsError
from vidcam.playground.canvas import DIRECTIONS, FRAMES, HUES, SIDE
from vidcam.playground.flaws import FLAWS, FlawedClip, render

SEED, COUNT = 31, 12


def _hue(clip: FlawedClip, mask: np.ndarray) -> int:
    """The hue nearest to the mean colour of some pixels."""
    colour = clip.frames[mask].mean(0)
    return int(np.argmin([np.linalg.norm(colour - np.array(hue)) for hue in HUES]))


def _direction(clip: FlawedClip) -> int:
    """The direction from the first to the last place of the disc."""
    centres = [np.argwhere(mask).mean(0) for mask in clip.elements["disc"][[0, -1]]]
    moved = (centres[1] - centres[0])[::-1]
    return int(np.argmax(np.array(DIRECTIONS) @ moved))


@pytest.mark.parametrize("flaw", FLAWS)
def test_clips_are_a_function_of_their_numbers(flaw: str) -> None:
    one, again, other = render(flaw, SEED, 0), render(flaw, SEED, 0), render(flaw, SEED, 1)
    assert one.frames.shape == (FRAMES, SIDE, SIDE, 3) and one.frames.dtype == np.uint8
    np.testing.assert_array_equal(one.frames, again.frames)
    assert not np.array_equal(one.frames, other.frames)
    assert len({render(flaw, SEED, i).label for i in range(60)}) == FLAWS[flaw].classes
    for mask in one.elements.values():
        assert mask.shape == one.frames.shape[:3] and mask.dtype == bool
    assert np.sum(list(one.elements.values()), axis=0).max() == 1  # a pixel shows one element
    assert one.mask(FLAWS[flaw].cause).any()


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_cause_shows_the_class(flaw: str) -> None:
    for index in range(COUNT):
        clip = render(flaw, SEED, index)
        element = clip.elements.get("square", clip.elements.get("floor"))
        if flaw == "direction":
            assert clip.label == _direction(clip)
        elif flaw == "hue-direction":
            assert clip.label == _hue(clip, clip.elements["square"]) * 4 + _direction(clip)
        else:
            assert element is not None and clip.label == _hue(clip, element)


def test_where_and_when_the_cause_is() -> None:
    for index in range(COUNT):
        corner = render("one-corner", SEED, index).elements["square"]
        assert not corner[:, SIDE // 2 :].any() and not corner[:, :, SIDE // 2 :].any()
        frame = render("one-frame", SEED, index).elements["square"]
        assert np.flatnonzero(frame.any((1, 2))).tolist() == [3]


def test_a_shortcut_agrees_with_the_class_in_training_alone() -> None:
    trained = [render("background", SEED, i, training=True) for i in range(COUNT)]
    assert all(clip.label == _direction(clip) for clip in trained)
    fresh = [render("background", SEED, i) for i in range(COUNT)]
    assert sum(clip.label == _direction(clip) for clip in fresh) < COUNT / 2


def test_the_share_of_motion_is_that_of_the_bits() -> None:
    shares = {name: flaw.motion_share for name, flaw in FLAWS.items()}
    assert shares == {
        "colour": 0,
        "direction": 1,
        "hue-direction": pytest.approx(2 / 3),
        "background": 0,
        "one-frame": None,
        "one-corner": 0,
    }


def test_no_such_flaw() -> None:
    with pytest.raises(SettingsError, match="there is no flaw 'sound'; choose one of colour, direction"):
        render("sound", 1, 0)
