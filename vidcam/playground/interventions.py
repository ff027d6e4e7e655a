"""Interventions: twins of a scene that differ from it in one cause, so that the true effect of the cause can be measured.

Everything else of a twin stays as it is, to the pixel: position, rhythm, background, camera and noise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import inf

import numpy as np

from vidcam.playground.distractors import Background
from vidcam.playground.figure import Look
from vidcam.playground.scene import FPS, Act, Scene


def with_acts(scene: Scene, indices: Collection[int]) -> Scene:
    """Return the scene with some of its acts only, by index; who performed the others sways."""
    return replace(scene, acts=tuple(act for index, act in enumerate(scene.acts) if index in indices))


def without_figure(scene: Scene, index: int) -> Scene:
    """Return the scene without a figure and its acts; figures after it are counted one less."""
    acts = tuple(replace(a, figure=a.figure - (a.figure > index)) for a in scene.acts if a.figure != index)
    return replace(scene, figures=scene.figures[:index] + scene.figures[index + 1 :], acts=acts)


def recoloured(scene: Scene, index: int, seed: int = 0) -> Scene:
    """Return the scene with a figure in other colours, of the same stature and build."""
    old, new = scene.figures[index].look, Look.random(np.random.default_rng(seed))
    figure = replace(scene.figures[index], look=replace(new, stature=old.stature, build=old.build))
    return replace(scene, figures=(*scene.figures[:index], figure, *scene.figures[index + 1 :]))


def idle_between(scene: Scene, start: int, end: int) -> Scene:
    """Return the scene in which nobody acts in the frames [start, end); before and after, acts go on as they were."""
    acts: list[Act] = []
    for act in scene.acts:
        if act.start < min(act.end, start):
            acts.append(replace(act, end=min(act.end, start)))
        if max(act.start, end) < act.end:
            later = max(act.start, end)
            cycles = (later - act.start) / FPS / act.period
            acts.append(replace(act, start=later, phase=(act.phase + cycles) % 1.0))
    return replace(scene, acts=tuple(acts))


def held_between(scene: Scene, start: int, end: int) -> Scene:
    """Return the scene in which actors stand still in the frames [start, end), in their pose of frame `start`.

    Before and after, acts go on as they were. For acts of full strength: they ease into the pose and out of it.
    """
    held = tuple(_held(act, max(act.start, start), min(act.end, end)) for act in scene.acts)
    return replace(scene, acts=(*scene.acts, *(act for act in held if act.start < act.end)))


def _held(act: Act, start: int, end: int) -> Act:
    """Return an act in the frames [start, end) that keeps the pose of the given act at frame `start`."""
    phase = (act.phase + (start - act.start) / FPS / act.period) % 1.0
    return replace(act, start=start, end=end, period=inf, phase=phase)


def twins(scene: Scene, seed: int = 0) -> dict[str, Scene]:
    """Return the twins of a scene by name: what its first actor does, and each thing beside the actors.

    Where the actor is held, it keeps the pose in the middle of its first act. A stretch is the middle third of what is seen of
    that act. Distractors are removed and not frozen, since one that is frozen in front of the actor hides it for the whole clip.

    Args:
        scene: with an act.
        seed: of new colours and of a new background.

    Example:
        >>> from vidcam.playground.scene import trimmed_scene
        >>> list(twins(trimmed_scene(1, 3)))[:4]
        ['actor idle', 'actor held', 'actor removed', 'actor recoloured']
    """
    first, actors = scene.acts[0], {act.figure for act in scene.acts}
    middle = (first.start + first.end) // 2
    pose = replace(_held(first, middle, first.end), start=first.start)
    start, end = max(0, first.start), min(scene.frames, first.end)
    stretch = start + (end - start) // 3, end - (end - start) // 3
    found = {
        "actor idle": with_acts(scene, [i for i, act in enumerate(scene.acts) if act.figure != first.figure]),
        "actor held": replace(scene, acts=(pose, *(act for act in scene.acts if act.figure != first.figure))),
        "actor removed": without_figure(scene, first.figure),
        "actor recoloured": recoloured(scene, first.figure, seed),
        "stretch idle": idle_between(scene, *stretch),
        "stretch held": held_between(scene, *stretch),
    }
    for index in range(len(scene.figures)):
        if index not in actors:
            found[f"bystander {index} removed"] = without_figure(scene, index)
    for index in range(len(scene.passers)):
        found[f"passer-by {index} removed"] = replace(scene, passers=_without(scene.passers, index))
    for index in range(len(scene.balls)):
        found[f"ball {index} removed"] = replace(scene, balls=_without(scene.balls, index))
    for index in range(len(scene.lamps)):
        found[f"lamp {index} removed"] = replace(scene, lamps=_without(scene.lamps, index))
    rng = np.random.default_rng(seed)
    found["background other"] = replace(scene, background=Background.random(rng, scene.frames / FPS, 1.0))
    found["camera still"] = replace(scene, shake=np.zeros_like(scene.shake))
    found["noise other"] = replace(scene, noise_seed=scene.noise_seed ^ 1)
    return found


def _without(items: tuple, index: int) -> tuple:  # type: ignore[type-arg]  # of any kind
    return items[:index] + items[index + 1 :]
