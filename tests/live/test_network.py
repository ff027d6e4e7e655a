from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidcam.explainer import Explainer
from vidcam.live.network import CLASSES, LiveNetwork
from vidcam.live.window import LiveWindow
from vidcam.models.registry import Model, load_model
from vidcam.playground.demo import demo_clip
from vidcam.recipe import Recipe
from vidcam.video.reader import Clip
from vidcam.video.windows import Windowing


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-r2plus1d")


def _window(model: Model, noise: bool = False) -> LiveWindow:
    frames = [model.spec.preprocess.frame(f.pixels) for f in Clip(demo_clip(), start=2.0, end=3.0)]
    if noise:
        frames = [np.random.default_rng(i).integers(0, 256, f.shape).astype(np.uint8) for i, f in enumerate(frames)]
    assert len(frames) == 16
    return LiveWindow(0, 32, 2.0, 2.9375, Windowing(16, 4, rate=16.0), tuple(frames))


def test_a_window_is_explained_as_by_the_explainer(model: Model) -> None:
    window = _window(model)
    found = LiveNetwork(model, "layer3", "gradcam++", "none", "float32", None).explain(window)
    stacked = np.stack(window.frames).transpose(3, 0, 1, 2)[None]
    explainer, best = Explainer(model, Recipe(dtype="float32")), int(found.probabilities.argmax())
    expected = explainer.maps(torch.from_numpy(stacked), best)["gradcam++"][0]
    assert len(found.maps) == CLASSES and np.allclose(found.maps[best], expected, atol=1e-4 * expected.max())
    assert found.curves.shape == (1, 11) and np.isclose(found.curves.sum(), 1.0, atol=1e-5)
    assert [int(k) for k in found.maps] == np.argsort(-found.probabilities)[:CLASSES].tolist()  # type: ignore[call-overload]


def test_the_factor_multiplies_the_map_and_a_target_is_the_only_one(model: Model) -> None:
    window, waving = _window(model), model.labels.index("waving")
    plain = LiveNetwork(model, "layer3", "gradcam++", "none", "float32", waving).explain(window)
    given = LiveNetwork(model, "layer3", "gradcam++", "probability", "float32", waving).explain(window)
    assert list(given.maps) == [waving]
    assert np.allclose(given.maps[waving], plain.maps[waving] * given.probabilities[waving], rtol=1e-5)
    assert given.scores[waving] == pytest.approx(given.probabilities[waving])


def test_what_the_network_was_not_made_for_is_told_once(model: Model) -> None:
    network = LiveNetwork(model, "layer3", "gradcam++", "probability", "float32", None)
    window = _window(model, noise=True)
    network.explain(window)
    said = [f"{model.spec.name} knows {model.spec.domain} only; its answer about other clips means nothing"]
    assert network.new_notes() == said, "before the first segment is shown"
    for index in range(1, 10):
        network.explain(replace(window, start=index))
        assert network.new_notes() == []


def test_a_stream_that_only_begins_like_a_rendered_one_is_told_later(model: Model) -> None:
    network, notes = LiveNetwork(model, "layer3", "gradcam++", "probability", "float32", None), []
    network.explain(_window(model))
    for index in range(1, 10):
        network.explain(replace(_window(model, noise=True), start=index))
        notes += network.new_notes()
    assert len(notes) == 1 and "means nothing" in notes[0]


def test_nothing_is_told_of_a_rendered_clip(model: Model) -> None:
    network = LiveNetwork(model, "layer3", "gradcam++", "probability", "float32", None)
    assert network.new_notes() == []
    for _ in range(9):
        network.explain(_window(model))
        assert network.new_notes() == []
