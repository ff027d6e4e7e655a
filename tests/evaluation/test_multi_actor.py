from __future__ import annotations

import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.errors import ClipError
from vidcam.evaluation.inference import Subject
from vidcam.evaluation.multi_actor import MultiActor, video_maps
from vidcam.evaluation.run import measure_clips, summarize
from vidcam.evaluation.samples import Sample, sources
from vidcam.explainer import Explainer
from vidcam.metrics.overlap import tube_localization, tube_of
from vidcam.models.registry import Model, load_model
from vidcam.playground.scene import crowd_scene
from vidcam.recipe import Recipe
from vidcam.results.explanation import Explanation
from vidcam.temporal.tubes import TubeParams, box_iou, tubes_of


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


class Given:
    """A subject whose explanations are given."""

    def __init__(self, found: dict[str, Explanation]) -> None:
        self.labels, self._found = ("bowing", "waving"), found

    def clip_explanations(self, sample: Sample, target: int) -> dict[str, Explanation]:
        assert target == 1
        return self._found


def _two_actors() -> Sample:
    """Two actors of 4 x 4 pixels: one at the left in frames 0 to 3, hidden in frame 1, one at the right in 2 to 5."""
    left, right = np.zeros((2, 6, 12, 16), bool)
    left[[0, 2, 3], 4:8, 0:4] = True
    right[2:6, 4:8, 12:16] = True
    return Sample("two", np.zeros((6, 12, 16, 3), np.uint8), 10, "waving", left | right, (left, right))


def _heat(sample: Sample, *, left: float, right: float, elsewhere: float = 0.0) -> np.ndarray:
    maps = np.full(sample.frames.shape[:3], elsewhere)
    for actor, level in zip(sample.actors, (left, right)):
        maps[actor] = level
    return maps


def test_figures_of_two_actors_by_hand() -> None:
    sample = _two_actors()
    found = {
        "both": explanation(_heat(sample, left=1, right=0.3)),
        "one": explanation(_heat(sample, left=1, right=0.2)),
        "everywhere": explanation(_heat(sample, left=1, right=0.8, elsewhere=0.9)),
        "nothing": explanation(np.zeros((6, 12, 16))),
    }
    figures = MultiActor(Given(found), TubeParams(threshold=0.5))(sample)  # type: ignore[arg-type]
    shares = {
        name: [values[f"found_{t}_of_2"] for t in ("0.25", "0.5", "same_area")] for name, values in figures.items()
    }
    # The actors are 112 of 1152 pixels: as many are as hot as the 0.9 that lies around the right one.
    assert shares == {"both": [1, 0.5, 1], "one": [0.5, 0.5, 1], "everywhere": [1, 1, 0.5], "nothing": [0, 0, 0]}
    for name, values in figures.items():
        assert [values[f"found_{t}"] for t in ("0.25", "0.5", "same_area")] == shares[name]
        assert values["truth"] == [[0, [[0, 4, 4, 8]] * 4], [2, [[12, 4, 16, 8]] * 4]]
        whole = np.any([tube_of(actor) for actor in sample.actors], axis=0)
        assert [values["loc_0.25"], values["loc_0.5"]] == [
            tube_localization(found[name].maps, whole, level) for level in (0.25, 0.5)
        ]
    assert figures["nothing"]["tubes"] == [] and figures["nothing"]["best_box_iou"] == 0
    one = tubes_of(found["one"].maps, found["one"].scores, (0, 0, 16, 12), "waving", TubeParams(threshold=0.5))
    assert figures["one"]["tubes"] == [[t.score, t.start, t.boxes.round(1).tolist()] for t in one] and one
    ious = []
    for frame in range(4):
        boxes = [t.boxes[frame - t.start] for t in one if t.start <= frame < t.end]
        ious.append(max((float(box_iou(np.array([0.0, 4, 4, 8]), box)) for box in boxes), default=0.0))
    assert figures["one"]["best_box_iou"] == pytest.approx(np.mean(ious) / 2) and np.mean(ious) > 0.3


def test_the_precision_of_tubes_that_are_the_truth_of_one_of_two_clips() -> None:
    truth = [[0, [[0, 4, 4, 8]] * 4]]
    half = [[0.9, 0, [[0, 4, 4, 8]] * 2]]  # two of four frames: an overlap of one half
    records = [
        {"clip": "a", "figures": {"m": {"truth": truth, "tubes": half}, "other": {"truth": truth, "tubes": []}}},
        {"clip": "b", "figures": {"m": {"truth": truth, "tubes": []}, "other": {"truth": truth, "tubes": []}}},
    ]
    assert video_maps(records, "m", (0.4, 0.6)).tolist() == [0.5, 0]
    assert video_maps(records, "m").tolist() == [0.5, 0.5] and video_maps(records, "other").tolist() == [0, 0]


def test_who_acts_must_be_known(model: Model) -> None:
    sample = Sample("x", np.zeros((16, 112, 112, 3), np.uint8), 16, "waving")
    with pytest.raises(ClipError, match="has no mask of an actor"):
        MultiActor(Subject.of(Explainer(model)), TubeParams())(sample)
