from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cli.conftest import Vidcam
from tests.conftest import numbered, write_video
from vidcam.playground.joint_causes import JOINT_CAUSES
from vidcam.playground.training.flawed import FlawedNetwork
from vidcam.playground.training.recipes import store


@pytest.mark.slow
def test_errors_can_be_gone_on_with(vidcam: Vidcam, tmp_path: Path) -> None:
    arguments = ("errors", "--out", tmp_path / "out", "--count", 3, "--films", 1, "--json")
    first = vidcam(*arguments)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert found["clips"] == 3 and Path(found["page"]).is_file()
    records = tmp_path / "out" / "records.jsonl"
    before = records.read_text()
    assert json.loads(vidcam(*arguments).stdout) == found and records.read_text() == before
    other = vidcam(*arguments, "--method", "gradcam")
    assert other.returncode == 2 and "other settings" in other.stderr
    nothing = vidcam("errors", "--out", tmp_path / "o", "--data", tmp_path / "none")
    assert nothing.returncode == 2 and "is not a folder" in nothing.stderr


@pytest.mark.slow
def test_localize_and_evaluate(vidcam: Vidcam, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "v.mp4", [numbered(i, 32, 32) for i in range(40)])
    truth = {"v": {"subset": "s", "duration": 4.0, "annotations": [{"label": "waving", "segment": [1, 2]}]}}
    (tmp_path / "t.json").write_text(json.dumps({"database": truth}))
    out = tmp_path / "out"
    arguments = ("localize", clip, "--out", out, "--classes", "waving,bowing", "--truth", tmp_path / "t.json")
    arguments += ("--export", "elan,srt")
    result = vidcam(*arguments)
    assert result.returncode == 0, result.stderr
    assert {p.name for p in out.iterdir()} == {
        "segments.json",
        "segments.csv",
        "segments.vtt",
        "segments.eaf",
        "segments.srt",
        "timeline.png",
        "report.html",
    }
    again = vidcam(*arguments)
    assert again.returncode == 2 and "already holds" in again.stderr
    assert "no tool to export for 'x'" in vidcam("localize", clip, "--out", tmp_path / "x", "--export", "x").stderr
    files = ("--predictions", out / "segments.json", "--truth", tmp_path / "t.json")
    printed = json.loads(vidcam("evaluate", "temporal", *files, "--json").stdout)
    assert len(printed["tiou"]) == len(printed["mAP"]) == 10 and 0 <= printed["average_mAP"] <= 1
    assert vidcam("evaluate", "temporal", *files, "--subset", "x").returncode == 2


def test_predictions_are_measured_with_notes_or_refused(vidcam: Vidcam, tmp_path: Path) -> None:
    truth = {"v": {"duration": 9, "annotations": [{"label": "run", "segment": s} for s in ([0, 0], [1, 3])]}}
    (tmp_path / "t.json").write_text(json.dumps({"database": truth}))

    def evaluated(video: str, label: str) -> SimpleNamespace:
        found = {video: [{"label": label, "segment": [1, 3], "score": 1}]}
        (tmp_path / "p.json").write_text(json.dumps({"results": found}))
        files = ("--predictions", tmp_path / "p.json", "--truth", tmp_path / "t.json")
        return vidcam("evaluate", "temporal", *files)

    right = evaluated("v", "run")
    assert right.returncode == 0 and "average   0.5000  (1 class)" in right.stdout
    assert "1 segment of no length, which no detection can hit; the first: v [0, 0]" in right.stderr
    for video, label, message in (("v_v", "run", "has e.g. 'v', the predictions 'v_v'"), ("v", "Run", "nearest: run")):
        wrong = evaluated(video, label)
        assert wrong.returncode == 2 and message in wrong.stderr and not wrong.stdout


@pytest.mark.slow
def test_evaluate_writes_records_a_summary_and_a_figure_and_goes_on(vidcam: Vidcam, tmp_path: Path) -> None:
    vidcam("playground", "render", "--out", str(tmp_path / "clips"), "--count", "2", "--frames", "16", "--seed", "3")
    for family, measure in (("faithfulness", "average_drop"), ("localization", "pointing_game"), ("sanity", "noise")):
        arguments = ["evaluate", family, "--data", str(tmp_path / "clips"), "--methods", "gradcam++,gradcam"]
        arguments += ["--model", "playground-c3d", "--dtype", "float32"]
        out = tmp_path / family
        found = json.loads(vidcam(*arguments, "--json", "--out", str(out)).stdout)
        assert found == json.loads((out / "results.json").read_text())
        assert measure in found["methods"]["gradcam++"] and f"{measure}_interval" in found["methods"]["gradcam"]
        assert (set(found["baselines"]) == {"centre", "ones", "motion", "random"}) == (family != "sanity")
        assert (out / "figure.png").stat().st_size > 10_000
        assert len((out / "records.jsonl").read_text().splitlines()) == 2
    assert "2 clips" in vidcam(*arguments, "--out", str(out)).stdout


@pytest.mark.slow
def test_a_network_out_of_its_domain_is_noted(vidcam: Vidcam, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "v.mp4", list(noise))
    vidcam("playground", "render", "--out", tmp_path / "own", "--count", 1, "--frames", 16, "--seed", 3)
    (tmp_path / "clips" / "labels.csv").write_text("clip,label\nv.mp4,waving\n")
    for folder, noted in (("clips", True), ("own", False)):
        found = vidcam(
            "errors",
            "--out",
            tmp_path / "out" / folder,
            "--data",
            tmp_path / folder,
            "--films",
            0,
            "--dtype",
            "float32",
        )
        assert found.returncode == 0, found.stderr
        assert ("knows rendered figures only" in found.stderr) == noted


@pytest.mark.slow
def test_evaluate_tells_what_is_wrong(vidcam: Vidcam, tmp_path: Path) -> None:
    wrong = {
        ("--fill", "pink"): "there is no fill 'pink'",
        ("--data", str(tmp_path)): "holds no clips",
        ("--methods", "gradcamm"): "there is no method 'gradcamm'",
        ("--dtype", "int8"): "dtype: Input should be 'auto'",
    }
    for arguments, message in wrong.items():
        found = vidcam("evaluate", "faithfulness", *arguments)
        assert found.returncode == 2
        assert message in found.stderr


@pytest.mark.slow
def test_evaluate_causes(vidcam: Vidcam, tmp_path: Path) -> None:
    for name, kind in JOINT_CAUSES.items():  # networks that are there are not trained
        store(FlawedNetwork(kind.classes, kind.grid, kind.frames_apart), tmp_path / f"{name}-1.safetensors")
    settings = ("--model", "playground-c3d", "--method", "gradcam++", "--count", 1, "--seed", 5, "--dtype", "float32")
    settings += ("--networks", str(tmp_path))
    found = json.loads(vidcam("evaluate", "causes", *settings, "--json").stdout)
    assert set(found) == {
        "effect of a twin",
        "rank of three actors",
        "eight stretches of time",
        *(f"{name}: {table}" for name in JOINT_CAUSES for table in ("effect", "rank")),
    }
    assert found["effect of a twin"]["actor idle"]["probability"]["mean"] > 0.3
    assert found["effect of a twin"]["stretch held"]["probability, size"]["count"] == 1
    assert set(found["eight stretches of time"]) == {"gradcam++", "score", "motion"}
    assert -1 <= found["rank of three actors"]["gradcam++"]["sum"]["mean"] <= 1
    refused = vidcam("evaluate", "causes", "--model", "r2plus1d_18", "--weights", "none", "--count", 1)
    assert refused.returncode == 2 and "give a network of the playground's actions" in refused.stderr
