from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.corpus import explaining as module
from vidcam.corpus.explaining import ClipExplainer, clip_record, segments
from vidcam.corpus.job import Job, Limits
from vidcam.corpus.manifest import Entry
from vidcam.errors import ModelError, OutputError, SettingsError, TargetError
from vidcam.explainer import explain
from vidcam.playground.demo import demo_clip
from vidcam.recipe import ExplainConfig
from vidcam.results.explanation import ExplainedTarget
from vidcam.results.stored import load_explanation
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import distinct, segments_of
from vidcam.video.reader import Clip


def _job(folder: Path, limits: Limits = Limits(), **settings: Any) -> Job:
    settings = {"model": "playground-c3d", "dtype": "float32", **settings}
    return Job(config=ExplainConfig(**settings), limits=limits, folder=folder, directory=folder)


@pytest.mark.slow
def test_a_clip_is_explained_as_explain_does(tmp_path: Path) -> None:
    entry = Entry(path=str(demo_clip()), target="waving", start=0.5, end=3.0)
    (tmp_path / "work").mkdir()
    record = ClipExplainer(_job(tmp_path, method="gradcam")).record(entry, tmp_path / "work")
    stored = load_explanation(tmp_path / "work")
    expected = explain(
        Clip(demo_clip(), start=0.5, end=3.0), "playground-c3d", "waving", method="gradcam", dtype="float32"
    )
    np.testing.assert_allclose(stored.maps, expected.maps, rtol=1e-4, atol=1e-6)
    assert (record["prediction"], record["explained"], record["frames"]) == (expected.top[0][0], "waving", 40)
    assert record["seconds"] == pytest.approx(2.5, abs=0.07) and set(record["timings"]) == {"explain", "save"}
    assert record["segments"] == segments(expected)


@pytest.mark.slow
def test_what_does_not_fit_is_the_clips_error_and_a_full_disk_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explaining = ClipExplainer(_job(tmp_path, Limits(duration=1)))
    for path, kind in (("gone.mp4", "ClipError"), (str(demo_clip()), "ClipError")):
        record = explaining.record(Entry(path=path), tmp_path)
        assert record["error_kind"] == kind and ("does not exist" in record["error"] or "lasts more" in record["error"])
    assert "is not one of the model's" in explaining.record(Entry(path="a.mp4", target="zumba"), tmp_path)["error"]

    def full(explanation: object, folder: Path) -> None:
        raise OutputError("cannot be written") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "store", full)
    (tmp_path / "work").mkdir()
    with pytest.raises(OutputError):
        ClipExplainer(_job(tmp_path)).record(Entry(path=str(demo_clip())), tmp_path / "work")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"method": "gradcam,gradcam++"}, SettingsError),
        ({"evidence": "motion,appearance"}, SettingsError),
        ({"target": "top5"}, TargetError),
        ({"target": "zumba"}, TargetError),
        ({"stride": 999}, SettingsError),
    ],
)
def test_what_is_wrong_for_every_clip_is_an_error_of_the_job(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception]
) -> None:
    if "stride" in settings:
        settings["sampling_rate"] = 1
    with pytest.raises(error):
        ClipExplainer(_job(tmp_path, **settings))


def test_a_network_without_probabilities_is_an_error_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "regression.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Conv3d(3, 1, 3), nn.AdaptiveAvgPool3d(1), "
        "nn.Flatten())\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = {"factory": "regression:build", "frames": 4, "probabilities": "none"}
    with pytest.raises(ModelError, match="gives no probabilities of classes, which a corpus has columns for"):
        ClipExplainer(_job(tmp_path, model=model))


def test_segments_are_cut_from_score_and_evidence_and_of_a_function_from_its_evidence() -> None:
    maps = np.zeros((40, 2, 2))
    maps[10:20] = 1
    scores = np.where((np.arange(40) >= 12) & (np.arange(40) < 22), 0.9, 0.05).astype(np.float32)
    one = explanation(maps, scores=scores, times=np.arange(40) / 10)
    curve = combined_curve(one.scores, one.evidence)
    cut = distinct(segments_of(curve, one.times, one.target.label))
    assert segments(one) == [{"start": s.start, "end": s.end, "score": s.score} for s in cut] != []
    function = replace(one, target=ExplainedTarget(None, "f", None, 0.5))
    assert segments(function) != segments(one)
    record = clip_record(Entry(path="a.mp4"), one, {"explain": 1.0})
    assert record["seconds"] == pytest.approx(4.0) and record["top"] == [{"label": "a <b>", "probability": 0.5}]
