"""Interventions: twins of a scene that differ from it in one cause, so that the true effect of the cause can be measured.

Everything else of a twin stays as it is, to the pixel: position, rhythm, background, camera and noise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

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


def twins(scene: Scene, seed: int = 0) -> dict[str, Scene]:
    """Return the twins of a scene by name: what its actors do, and each thing beside them.

    Args:
        scene: with an act.
        seed: of new colours and of a new background.

    Example:
        >>> from vidcam.playground.scene import trimmed_scene
        >>> list(twins(trimmed_scene(1, 3)))[:3]
        ['actor idle', 'actor removed', 'actor recoloured']
    """
    found: dict[str, Scene] = {}
    actors = {act.figure for act in scene.acts}
    for figure in sorted(actors)[:1]:
        found["actor idle"] = with_acts(scene, [i for i, act in enumerate(scene.acts) if act.figure != figure])
        found["actor removed"] = without_figure(scene, figure)
        found["actor recoloured"] = recoloured(scene, figure, seed)
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
