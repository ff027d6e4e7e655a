from __future__ import annotations

import numpy as np
import pytest

from vidcam.playground.captions import COLOURS, COUNTS, END, FRAMES, PLACES, SIZES, VERBS, WORDS, captioned_scene
from vidcam.playground.scene import FPS


@pytest.mark.parametrize("index", range(30))
def test_the_sentence_is_true(index: int) -> None:
    described = captioned_scene(11, index)
    scene, act = described.scene, described.act
    actor, others = scene.figures[act.figure], [f for i, f in enumerate(scene.figures) if i != act.figure]
    told: dict[str, list[str]] = {}
    for word, about in zip(described.words, described.about, strict=True):
        told.setdefault(about, []).append(word)
    low, high = SIZES[told["size"][0]]
    assert low <= actor.look.stature <= high
    colour = min(COLOURS, key=lambda name: float(np.abs(np.subtract(COLOURS[name], actor.look.shirt)).sum()))
    assert told["colour"] == [colour]
    assert all(np.abs(np.subtract(actor.look.shirt, f.look.shirt)).sum() > 60 for f in others)
    assert told["place"] == [min(PLACES, key=lambda name: abs(PLACES[name] - actor.x))]
    assert all(abs(f.x - actor.x) > 0.2 for f in others)
    assert told["action"] == [VERBS[act.label]]
    once = act.period / (2 if act.label == "punching" else 1)
    times = (act.end - act.start) / FPS / once
    assert times == pytest.approx(COUNTS.index(tuple(told["count"])) + 1, abs=0.06)
    assert act.start >= 1 and act.end <= FRAMES - 1
    assert described.words[-1] == ("stands" if len(others) == 1 else "stand")
    assert set(described.words) <= set(WORDS) and END in WORDS


def test_a_function_of_its_arguments() -> None:
    first, again = captioned_scene(1, 2), captioned_scene(1, 2)
    assert first.words == again.words
    np.testing.assert_array_equal(first.scene.render(7, 32), again.scene.render(7, 32))
    assert len({captioned_scene(1, i).words for i in range(20)}) > 15
