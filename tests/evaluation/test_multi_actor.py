from __future__ import annotations

import numpy as np
import pytest

from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject
from vidcam.evaluation.multi_actor import MultiActor, video_maps
from vidcam.evaluation.run import measure_clips, summarize
from vidcam.evaluation.samples import Sample, sources
from vidcam.explainer import Explainer
from vidcam.models.registry import Model, load_model
from vidcam.playground.scene import crowd_scene
from vidcam.recipe import Recipe
from vidcam.temporal.tubes import TubeParams


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-r2plus1d")


def test_a_crowd_does_one_thing() -> None:
    for index in range(6):
        scene = crowd_scene(7, index)
        assert len(scene.acts) == index % 3 + 1 == len({act.figure for act in scene.acts})
        assert len({act.label for act in scene.acts}) == 1 and len(scene.figures) == 3


@pytest.mark.slow
def test_the_actors_of_rendered_clips_are_found(model: Model) -> None:
    methods = ["gradcam++", "gradcam"]
    measure = MultiActor(Subject.of(Explainer(model, Recipe(method=",".join(methods)))), TubeParams())
    records = measure_clips(measure, model.spec.preprocess, sources("playground", 100, 6, crowd_scene), {})
    summary = summarize(records, {}, methods)
    assert summary.methods["gradcam++"]["found_0.25"].mean > 0.7
    assert summary.methods["gradcam++"]["found_0.25_of_3"].count == 2
    # The middle of the picture, where a map that knows nothing might put its box, reaches nothing like it.
    assert summary.methods["gradcam++"]["best_box_iou"].mean > 0.25
    for record in records:
        figures = record["figures"]["gradcam++"]
        figures["tubes"] = [[1.0, start, boxes] for start, boxes in figures["truth"]]
    np.testing.assert_allclose(video_maps(records, "gradcam++"), [1, 1])


def test_who_acts_must_be_known(model: Model) -> None:
    sample = Sample("x", np.zeros((16, 112, 112, 3), np.uint8), 16, "waving")
    with pytest.raises(ClipError, match="has no mask of an actor"):
        MultiActor(Subject.of(Explainer(model)), TubeParams())(sample)
