from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidcam.playground.interventions import held_between, idle_between, recoloured, twins, with_acts, without_figure
from vidcam.playground.scene import RAMP, Scene, ranked_crowd_scene, sample_scene, untrimmed_scene

SIZE = 112


def _frames(scene: Scene, at: range) -> np.ndarray:
    return np.stack([scene.render(t, SIZE) for t in at]).astype(int)


def _ids(scene: Scene, at: int) -> np.ndarray:
    ids = np.zeros((SIZE, SIZE), np.uint8)
    scene.render(at, SIZE, ids)
    return ids


def _scene() -> Scene:
    """A scene with an action and every kind of thing beside it."""
    for index in range(200):
        scene = untrimmed_scene(77, index)
        if (
            scene.acts
            and scene.balls
            and scene.lamps
            and scene.passers
            and len(scene.figures) == 2
            and scene.shake.any()
        ):
            return scene
    raise AssertionError


def test_an_idle_actor_changes_the_picture_at_the_actor_and_while_they_act_alone() -> None:
    scene = _scene()
    act, idle = scene.acts[0], with_acts(scene, [])
    assert np.array_equal(_frames(scene, range(act.start)), _frames(idle, range(act.start)))
    after = range(act.end, scene.frames)
    assert np.array_equal(_frames(scene, after), _frames(idle, after))
    at = (act.start + act.end) // 2
    changed = np.abs(scene.render(at, SIZE).astype(int) - idle.render(at, SIZE)).max(2) > 0
    figure = (_ids(scene, at) == act.figure + 1) | (_ids(idle, at) == act.figure + 1)
    assert changed.any() and not (changed & ~_grown(figure)).any()


def _grown(mask: np.ndarray) -> np.ndarray:
    """The mask and the pixels beside it, which lines are blended into."""
    padded = np.pad(mask, 2)
    return np.any([np.roll(padded, (y, x), (0, 1)) for y in range(-2, 3) for x in range(-2, 3)], axis=0)[2:-2, 2:-2]


@pytest.mark.parametrize("start", [10, 50, 90])
def test_between_two_frames_nobody_acts_and_elsewhere_all_is_as_it_was(start: int) -> None:
    scene = _scene()
    act = scene.acts[0]
    twin, idle, end = idle_between(scene, start, start + 12), with_acts(scene, []), start + 12
    inside = range(start, min(end, scene.frames))
    assert np.array_equal(_frames(twin, inside), _frames(idle, inside))
    away = [t for t in range(scene.frames) if t < start - RAMP or t >= end + RAMP]
    for t in away[::4]:
        assert np.array_equal(twin.render(t, SIZE), scene.render(t, SIZE)), t
    assert (len(twin.acts) == 2) == (act.start < start and end < act.end)


def test_a_pause_does_not_change_the_rhythm() -> None:
    scene = sample_scene(np.random.default_rng(5), 60, [("waving", 0, 60)], clutter=0.0)
    twin = idle_between(scene, 20, 30)
    before, after = twin.acts
    assert (before.start, before.end, after.start, after.end) == (0, 20, 30, 60)
    for frame in (35, 50):
        assert vars(after.pose(frame)) == pytest.approx(vars(scene.acts[0].pose(frame)))


def test_a_held_actor_keeps_its_pose_and_moves_before_and_after() -> None:
    scene = sample_scene(np.random.default_rng(5), 60, [("waving", 0, 60)], clutter=0.0)
    scene = replace(scene, figures=tuple(replace(f, sway_amount=0.0) for f in scene.figures))
    twin, act = held_between(scene, 20, 40), scene.acts[0]
    poses = [vars(twin._pose(act.figure, t)) for t in range(60)]
    for t in range(20 + RAMP, 40 - RAMP):
        assert poses[t] == pytest.approx(vars(act.pose(20)))
    for t in (*range(3, 20), *range(40, 57)):
        assert poses[t] == pytest.approx(vars(act.pose(t)))
    assert held_between(scene, 60, 80) == scene and held_between(scene, 50, 80).acts[1].end == 60
    whole = [vars(twins(scene)["actor held"]._pose(act.figure, t)) for t in range(60)]
    assert all(pose == pytest.approx(vars(act.pose(30))) for pose in whole[RAMP:-RAMP])
    stretch = twins(scene)["stretch held"].acts[1]
    assert (stretch.start, stretch.end) == (20, 40)


def test_a_removed_figure_is_gone_and_the_others_keep_their_acts() -> None:
    scene = ranked_crowd_scene(3, 0)
    twin = without_figure(scene, 1)
    assert [(a.figure, a.strength) for a in twin.acts] == [
        (f - (f > 1), s) for f, s in ((a.figure, a.strength) for a in scene.acts) if f != 1
    ]
    assert set(np.unique(_ids(twin, 20))) == {0, 1, 2}
    other = _ids(scene, 20) == 2
    changed = (scene.render(20, SIZE) != twin.render(20, SIZE)).any(2)
    assert changed.any() and not (changed & ~_grown(other)).any()


def test_other_colours_keep_the_shape() -> None:
    scene = _scene()
    twin = recoloured(scene, 0)
    assert np.array_equal(_ids(scene, 40), _ids(twin, 40)) and twin.figures[0].look != scene.figures[0].look


def test_twins_differ_in_one_thing() -> None:
    scene = _scene()
    found = twins(scene)
    names = ["actor idle", "actor held", "actor removed", "actor recoloured", "stretch idle", "stretch held"]
    names += ["background other", "camera still", "noise other"]
    names += [f"{kind} {i} removed" for kind, things in (
        ("passer-by", scene.passers), ("ball", scene.balls), ("lamp", scene.lamps)) for i in range(len(things))]  # fmt: skip
    names += [f"bystander {i} removed" for i in range(2) if i != scene.acts[0].figure]
    assert set(found) == set(names)
    for name, twin in found.items():
        changed = [f for f in scene.__dataclass_fields__ if getattr(twin, f) is not getattr(scene, f)]
        expected = {"actor removed": ["acts", "figures"], "actor recoloured": ["figures"]}
        expected |= {name: ["acts"] for name in ("actor idle", "actor held", "stretch idle", "stretch held")}
        if not name.startswith("bystander"):
            assert len(changed) == (2 if name == "actor removed" else 1), (name, changed)
            assert sorted(changed) == expected.get(name, changed)


def test_a_ranked_crowd_has_the_strengths_in_any_order() -> None:
    orders = {tuple(act.strength for act in ranked_crowd_scene(1, i).acts) for i in range(12)}
    assert all(sorted(order) == [0.25, 0.55, 1.0] for order in orders) and len(orders) > 2
    assert len({act.label for act in ranked_crowd_scene(1, 5).acts}) == 1
