from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidcam.errors import LayerError, OutputError, TargetError
from vidcam.results.localization import Localization, localize, localize_by_each
from vidcam.temporal.segments import tiou
from vidcam.models.registry import Model, load_model
from vidcam.pipeline import explain
from vidcam.playground.clips import write_clip
from vidcam.playground.scene import eventful_scene
from vidcam.evaluation.temporal import Localized, temporal_table, truths_of
from vidcam.export.timeline import save


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
    return localize_by_each(clip, model, "top5", methods=["gradcam++", "gradcam"])


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


def test_a_table_over_clips(found: list[Localization], clip: Path) -> None:
    truths = truths_of(eventful_scene(0, 0), clip.stem)
    table = temporal_table([Localized(truths, {f.method: f for f in found})])
    assert set(table) == {"default"} | {
        f"{m} {c}" for m in ("gradcam++", "gradcam") for c in ("score", "evidence", "combined")
    }
    assert table["default"] == table["gradcam++ combined"]
    assert 0 < table["default"]["average_mAP"] <= 1 and table["default"]["hit_rate"] == 1
    with_nothing = [Localized(truths, {f.method: _emptied(f) for f in found})]
    nothing = temporal_table(with_nothing)["default"]
    assert nothing["average_mAP"] == 0 and nothing["onset_error_frames"] is None


def _emptied(found: Localization) -> Localization:
    return Localization(**{**vars(found), "scores": found.scores * 0, "evidence": found.evidence * 0})


def test_files_of_a_localization(found: list[Localization], clip: Path, tmp_path: Path) -> None:
    outputs = found[0].save(tmp_path / "out")
    stored = json.loads(outputs.segments_json.read_text())["results"][clip.stem]
    assert [(s["label"], s["score"]) for s in stored] == [(s.label, s.score) for s in found[0].segments]
    assert outputs.segments_vtt.read_text().startswith("WEBVTT")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {Path(p).name for p in vars(outputs).values()}
    with pytest.raises(OutputError, match="already holds"):
        found[0].save(tmp_path / "out")
    save(found[0], tmp_path / "out", truths=truths_of(eventful_scene(0, 0), clip.stem), overwrite=True)


def test_classes_and_layers_that_cannot_be(clip: Path, model: Model) -> None:
    with pytest.raises(TargetError, match="'wavin' is not one of the model's 11 classes; nearest: waving"):
        localize(clip, model, ["wavin"])
    with pytest.raises(TargetError, match="no class is asked for"):
        localize(clip, model, [])
    with pytest.raises(LayerError, match=r"2 layers are given \(layer2, layer3\); give one"):
        localize(clip, model, layer="layer2,layer3")
