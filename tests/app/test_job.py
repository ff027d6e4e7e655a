from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from vidcam.app import job as module
from vidcam.app.job import explain
from vidcam.models.registry import load_model
from vidcam.playground.demo import demo_clip
from vidcam.results.stored import load_explanation


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work" / "clip").mkdir(parents=True)
    shutil.copyfile(demo_clip(), tmp_path / "work" / "clip" / "a.mp4")
    limits = {"frames": 7200, "seconds": 120, "pixels": 10**6}
    asked = {"clip": "a.mp4", "archive": "vidcam.zip", "model": "playground-c3d", "target": "top2", "method": "gradcam"}
    asked |= {"layer": "auto", "colormap": "viridis", "weights": None, "labels": None}
    return {"folder": str(tmp_path / "work"), **asked, **limits}


@pytest.mark.slow
def test_a_clip_is_explained_into_its_folder(job: dict[str, Any]) -> None:
    told: list[dict[str, Any]] = []
    assert explain(job, told.append) == {}
    folder = Path(job["folder"])
    with zipfile.ZipFile(folder / "vidcam.zip") as archive:
        names = set(archive.namelist())
    assert {"report.html", "clip/a.mp4"} <= names and sum(name.endswith("summary.json") for name in names) == 2
    stored = [load_explanation(folder / Path(n).parent) for n in names if n.endswith("y.json")]
    assert all(e.clip == "clip/a.mp4" and e.drawing.colormap == "viridis" for e in stored)
    assert list(dict.fromkeys(now["step"] for now in told)) == ["loading", "explaining", "drawing"]
    for step in ("explaining", "drawing"):
        done = [now["done"] for now in told if now["step"] == step]
        assert done == sorted(done) and done[-1] <= told[-1]["of"] == stored[0].frames
    assert Path.cwd() == Path(os.sep)


@pytest.mark.slow
def test_weights_and_labels_of_ones_own_are_used_and_not_in_the_archive(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    state = load_model("playground-c3d", "none").network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "mine.safetensors")
    (folder / "names.txt").write_text("\n".join(f"mine {i}" for i in range(11)))
    own = {"weights": "mine.safetensors", "labels": "names.txt"}
    assert explain({**job, **own, "target": "mine 3"}, lambda step: None) == {}
    with zipfile.ZipFile(folder / "vidcam.zip") as archive:
        assert not {*own.values()} & {*archive.namelist()}
    found = load_explanation(folder)
    assert found.weights == "mine.safetensors" and found.target.index == 3
    assert "no class labels" not in " ".join(found.warnings)
    assert found.target.probability == pytest.approx(1 / 11, abs=0.05), "random weights know nothing"
    (folder / "mine.safetensors").write_bytes(b"no weights")
    answer = explain({**job, "weights": "mine.safetensors"}, lambda step: None)
    assert "weights file mine.safetensors cannot be read" in answer["error"] and str(folder) not in answer["error"]
    (folder / "names.txt").write_text("one\ntwo\n")
    answer = explain({**job, "labels": "names.txt"}, lambda step: None)
    assert answer["error"].startswith("labels file names.txt has 2 labels, the network 11 classes")


@pytest.mark.usefixtures("refused")
def test_weights_that_cannot_be_fetched_are_said_without_the_place_of_the_cache(
    job: dict[str, Any], tmp_path: Path
) -> None:
    error = explain({**job, "model": "r3d_18"}, lambda step: None)["error"]
    assert "the weights of r3d_18 cannot be downloaded" in error
    assert "put it at checkpoints/r3d_18-b3b3357e.pth" in error and str(tmp_path) not in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": "gone.mp4"}, "^gone.mp4 does not exist"),
        ({"target": "zumba"}, "is not one of the model's 11 classes"),
        ({"method": "magic"}, "there is no method 'magic'"),
        ({"layer": "/etc/passwd"}, "has no layer '/etc/passwd'; its space-time layers are conv1"),
        ({"colormap": "jet"}, "there is no colormap 'jet'"),
        ({"frames": 10, "seconds": 1}, r"a.mp4 has more than 10 frames \(1 s at 60 a second\)"),
        ({"pixels": 100}, "pixels"),
    ],
)
def test_errors_are_for_the_visitor_and_hold_no_path(
    job: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    answer = explain({**job, **changes}, lambda step: None)
    assert set(answer) == {"error"} and re.search(message, answer["error"]) and job["folder"] not in answer["error"]
    assert not (Path(job["folder"]) / "vidcam.zip").exists()


def test_what_nobody_thought_of_is_for_the_log(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(module, "_model", broken)
    answer = explain(job, lambda step: None)
    assert set(answer) == {"unexpected"} and "RuntimeError: broken" in answer["unexpected"]
