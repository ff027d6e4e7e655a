from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidcam.errors import LayerError, OutputError, SettingsError, TargetError
from vidcam.evaluation.temporal import truths_of
from vidcam.explainer import Explainer, explain, localize
from vidcam.export.results import write_localization
from vidcam.models.registry import Model, load_model
from vidcam.playground.clips import write_clip
from vidcam.playground.scene import eventful_scene, untrimmed_scene
from vidcam.recipe import Recipe
from vidcam.results.localization import Localization
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, SegmentParams, distinct, segments_of, tiou


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-r2plus1d")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of the training seed with several actions."""
    path = tmp_path_factory.mktemp("eventful") / "0-0000.mp4"
    write_clip(eventful_scene(0, 0), path)
    return path


@pytest.fixture(scope="module")
def found(clip: Path, model: Model) -> list[Localization]:
    return Explainer(model, Recipe(method="gradcam++,gradcam")).localize(clip, "top5")


def test_the_actions_are_found_where_they_are(found: list[Localization], clip: Path) -> None:
    truths = truths_of(eventful_scene(0, 0), clip.stem)
    assert len(truths) == 3
    for localization in found:
        assert len(localization.labels) == 5 and localization.curves().shape == (5, eventful_scene(0, 0).frames)
        scores = [s.score for s in localization.segments]
        assert scores == sorted(scores, reverse=True)
    for truth in truths:
        best = next(s for s in found[0].segments if s.label == truth.label)
        assert tiou(best.start, best.end, np.array([truth.start]), np.array([truth.end]))[0] > 0.3


@pytest.mark.slow
def test_classes_that_are_never_probable_are_not_shown(model: Model, tmp_path: Path) -> None:
    """The figure squats. A bit of "kicking", with a probability below 0.1, was shown twice beside it."""
    clip = tmp_path / "901-0001.mp4"
    write_clip(untrimmed_scene(901, 1, 128), clip)
    (truth,) = truths_of(untrimmed_scene(901, 1, 128), clip.stem)
    found = localize(clip, model)
    assert "kicking" in found.labels
    (shown,) = distinct(found.segments)
    assert shown.label == truth.label == "squatting"
    assert tiou(shown.start, shown.end, truth.start, truth.end) > 0.8


@pytest.mark.slow
def test_the_curves_of_a_named_class_are_those_of_explain(clip: Path, model: Model, found: list[Localization]) -> None:
    label = found[0].labels[0]
    named = localize(clip, model, [label], stride=8)
    explained = explain(clip, model, label, stride=8)
    np.testing.assert_allclose(named.scores[0], explained.scores, rtol=1e-5)
    np.testing.assert_allclose(named.evidence[0], explained.evidence, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(named.times, explained.times)


def test_the_unit_of_the_evidence_does_not_matter(found: list[Localization]) -> None:
    faint = Localization(**{**vars(found[0]), "evidence": found[0].evidence * 1e-6})
    expected = [(s.start, s.end, s.label) for s in found[0].cut("evidence")]
    assert expected and [(s.start, s.end, s.label) for s in faint.cut("evidence")] == expected


def test_files_of_a_localization(found: list[Localization], clip: Path, tmp_path: Path) -> None:
    outputs = found[0].save(tmp_path / "out")
    stored = json.loads(outputs.segments_json.read_text())["results"][clip.stem]
    assert [(s["label"], s["score"]) for s in stored] == [(s.label, s.score) for s in found[0].segments]
    assert outputs.segments_vtt.read_text().startswith("WEBVTT")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {Path(p).name for p in vars(outputs).values()}
    with pytest.raises(OutputError, match="already holds"):
        found[0].save(tmp_path / "out")
    write_localization(found[0], tmp_path / "out", truths=truths_of(eventful_scene(0, 0), clip.stem), overwrite=True)


def test_classes_and_layers_that_cannot_be(clip: Path, model: Model) -> None:
    with pytest.raises(TargetError, match="'wavin' is not one of the model's 11 classes; nearest: waving"):
        localize(clip, model, ["wavin"])
    with pytest.raises(TargetError, match="no class is asked for"):
        localize(clip, model, [])
    with pytest.raises(LayerError, match=r"2 layers are given \(layer2, layer3\); localize by one"):
        localize(clip, model, layer="layer2,layer3")


def _small() -> Localization:
    scores = np.array([[0.1] * 10 + [0.9] * 10 + [0.1] * 10, [0.6] * 10 + [0.1] * 20])
    return Localization(
        clip="clip.mp4", model="m", layer="l", method="gradcam++", region=(0.0, 0.0, 4.0, 4.0), windowing={}, times=np.arange(30) / 10,
        labels=("waving", "kicking"), scores=scores, evidence=2 * scores[::-1], maps=np.zeros((2, 30, 2, 2)),
        curve="score", segments=(),
    )  # fmt: skip


def test_curves_by_name_are_those_that_are_cut() -> None:
    found = _small()
    np.testing.assert_array_equal(found.curves(), found.scores)
    np.testing.assert_array_equal(found.curves("evidence"), found.evidence)
    np.testing.assert_array_equal(found.curves("combined"), combined_curve(found.scores, found.evidence))
    with pytest.raises(SettingsError, match="no curve 'magic'; choose one of score, evidence, combined"):
        found.curves("magic")  # type: ignore[arg-type]
    params = SegmentParams(levels=(0.5,))
    expected: list[Segment] = []
    for label, curve in zip(found.labels, found.scores):
        expected += segments_of(curve, found.times, label, params)
    assert expected and list(found.cut("score", params)) == sorted(expected, key=lambda s: -s.score)
    assert found.cut("score", params)[0].label == "waving" and found.frames == 30
    assert "0 segments of waving, kicking, 30 frames" in repr(found)
