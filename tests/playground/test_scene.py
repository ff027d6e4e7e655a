from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from vidcam.playground.actions import ACTIONS, LABELS, NOTHING
from vidcam.playground.scene import FPS, RAMP, Act, Scene, sample_scene, trimmed_scene, untrimmed_scene


def test_there_are_at_least_ten_actions_and_nothing() -> None:
    assert len(ACTIONS) >= 10 and set(LABELS) == {*ACTIONS, NOTHING}


def test_a_scene_is_a_function_of_its_seed() -> None:
    first, second, other = trimmed_scene(5, 3), trimmed_scene(5, 3), trimmed_scene(5, 4)
    assert np.array_equal(first.render(7, 64), second.render(7, 64))
    assert not np.array_equal(first.render(7, 64), other.render(7, 64))


def test_sizes_show_the_same_picture() -> None:
    scene = trimmed_scene(5, 3)
    small = cv2.resize(scene.render(4, 224), (56, 56), interpolation=cv2.INTER_AREA).astype(float)
    direct = cv2.resize(scene.render(4, 112), (56, 56), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(small - direct).mean() < 12


@pytest.mark.parametrize("label", LABELS)
def test_only_the_actor_moves_as_the_label_says(label: str) -> None:
    scene = sample_scene(np.random.default_rng(1), 16, [(label, -RAMP, 16 + RAMP)], clutter=0.0)
    assert len(scene.figures) == 1 and scene.label == label
    moves = len(scene.acts)
    assert moves == (label != NOTHING)
    idle = replace(scene, acts=())

    def motion(of: Scene) -> float:
        frames = [of.render(t, 112).astype(float) for t in range(16)]
        return float(np.mean([np.abs(a - b).max(2) > 40 for a, b in pairwise(frames)]))

    ids = np.zeros((112, 112), np.uint8)
    scene.render(0, 112, ids)
    assert set(np.unique(ids)) == {0, 1}
    if moves:
        assert motion(scene) > 2 * motion(idle)
    else:
        assert motion(scene) < 0.01


def test_acts_ease_in_and_out() -> None:
    act = Act(0, "waving", 10, 20, 0.6, 0.0, False)
    assert [round(act.weight(f), 2) for f in (9, 10, 11, 12, 15, 17, 18, 19, 20)] == [
        0,
        0.33,
        0.67,
        1,
        1,
        1,
        0.67,
        0.33,
        0,
    ]


def test_untrimmed_clips_are_idle_at_both_ends() -> None:
    labels = set()
    for index in range(40):
        scene = untrimmed_scene(2, index, 96)
        labels.add(scene.label)
        for act in scene.acts:
            assert 16 <= act.start < act.end <= 80
    assert len(labels) > 8


@pytest.mark.slow
def test_motion_energy_does_not_give_the_actor_away() -> None:
    hits, frames = 0, 0
    for index in range(40):
        scene = trimmed_scene(9, index)
        previous = None
        for t in range(0, scene.frames if scene.acts else 0):
            ids = np.zeros((112, 112), np.uint8)
            image = scene.render(t, 112, ids).astype(np.float32)
            if previous is not None:
                motion = cv2.GaussianBlur(np.abs(image - previous).mean(2), (0, 0), 3)
                peak = np.unravel_index(motion.argmax(), motion.shape)
                near = cv2.dilate((ids == scene.acts[0].figure + 1).astype(np.uint8), np.ones((15, 15)))
                hits, frames = hits + int(near[peak]), frames + 1
            previous = image
    assert frames > 300
    assert hits / frames <= 0.5  # within 7 pixels of the actor, which is more than on it


def test_the_clock() -> None:
    assert FPS == 16
