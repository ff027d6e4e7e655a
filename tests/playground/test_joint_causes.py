from __future__ import annotations

import numpy as np
import pytest

from vidcam.playground.canvas import DIRECTIONS, FRAMES, HUES
from vidcam.playground.joint_causes import JOINT_CAUSES

COUNT = 12


@pytest.mark.parametrize("name", JOINT_CAUSES)
def test_a_clip_without_an_element_is_the_same_elsewhere(name: str) -> None:
    kind = JOINT_CAUSES[name]
    for index in range(4):
        clip = kind.render(31, index)
        assert set(kind.cause) < set(clip.elements) and np.sum(list(clip.elements.values()), axis=0).max() == 1
        for element, mask in clip.elements.items():
            twin = kind.render(31, index, without=[element])
            changed = (twin.frames != clip.frames).any(-1)
            assert element not in twin.elements and twin.label == clip.label
            assert (not (changed & ~mask).any() and changed[mask].mean() > 0.9) or not mask.any()
        bare = kind.render(31, index, without=list(clip.elements))
        assert not bare.elements


def test_a_kicked_ball_rests_until_a_foot_reaches_it() -> None:
    clips = [JOINT_CAUSES["kicked-ball"].render(5, index) for index in range(COUNT)]
    assert all(clip.label == 1 for clip in clips)
    for clip in clips:
        ball, figure = clip.elements["ball"], clip.elements["figure"]
        places = [np.argwhere(mask).mean(0) for mask in ball if mask.any()]
        moved = [float(np.abs(place - places[0]).max()) for place in places]
        assert max(moved[:4]) < 1.5 and moved[-1] > 6
        widths = [np.ptp(np.argwhere(mask)[:, 1]) for mask in figure]
        assert widths[-1] > widths[0] + 5  # the leg is stretched


def test_training_shows_kicks_and_balls_apart() -> None:
    clips = [JOINT_CAUSES["kicked-ball"].render(5, index, training=True) for index in range(80)]
    others = [clip for clip in clips if clip.label == 0]
    assert 0.3 < len(others) / len(clips) < 0.7
    without = [clip for clip in others if "ball" not in clip.elements]
    assert without and len(without) < len(others)


def test_the_disc_shows_the_class_and_the_floor_agrees_in_most_clips_of_training() -> None:
    def hue(clip: object) -> int:
        colour = clip.frames[clip.elements["floor"]].mean(0)  # type: ignore[attr-defined]
        return int(np.argmin([np.linalg.norm(colour - np.array(one)) for one in HUES]))

    kind = JOINT_CAUSES["leaning"]
    fresh = [kind.render(5, index) for index in range(40)]
    for clip in fresh:
        centres = [np.argwhere(mask).mean(0) for mask in clip.elements["disc"][[0, FRAMES - 1]]]
        assert clip.label == int(np.argmax(np.array(DIRECTIONS) @ (centres[1] - centres[0])[::-1]))
    assert np.mean([hue(clip) == clip.label for clip in fresh]) < 0.5
    trained = [kind.render(5, index, training=True) for index in range(60)]
    assert np.mean([hue(clip) == clip.label for clip in trained]) > 0.55
    assert 0.5 < np.mean(["disc" in clip.elements for clip in trained]) < 0.9
