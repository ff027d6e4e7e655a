"""On a GPU the explanation is that of the CPU; these tests need one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from vidcam.cam.input_methods import INPUT_METHODS
from vidcam.cam.methods import METHODS
from vidcam.corpus.engines import local
from vidcam.corpus.run import run_corpus
from vidcam.engine.agreement import correlation
from vidcam.engine.precision import SAME
from vidcam.explainer import explain
from vidcam.models.registry import Model, load_model
from vidcam.playground.demo import demo_clip, demo_clips
from vidcam.recipe import ExplainConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

NETWORKS = ("playground-r2plus1d", "playground-c3d", "playground-tubelet", "playground-gru", "playground-tsm")
OF_ATTENTION = {"attnlrp"}
SLOW = {"scorecam", "extremal"}  # a pass for each channel; a search


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def _on_cpu(name: str = "playground-r2plus1d") -> Model:
    model = load_model(name)
    model.network.to("cpu")
    return model


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dense", [False, True])
def test_float32_on_a_gpu_is_float32_on_the_cpu(name: str, dense: bool) -> None:
    if dense and name not in ("playground-r2plus1d", "playground-c3d"):
        pytest.skip("the other networks cannot run over a long span")
    gpu = explain(demo_clip(), name, dtype="float32", dense=dense)
    cpu = explain(demo_clip(), _on_cpu(name), dtype="float32", dense=dense)
    assert gpu.target.label == cpu.target.label
    assert correlation(gpu.maps, cpu.maps) > 0.9999
    np.testing.assert_allclose(gpu.scores, cpu.scores, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16"])
def test_a_short_float_on_a_gpu_is_the_same_explanation(name: str, dtype: str) -> None:
    model = load_model(name)
    assert model.device.type == "cuda"
    found = explain(demo_clip(), model, dtype=dtype)
    if found.computation["dtype"] != "float32":
        assert found.computation["fidelity"] >= SAME
    assert correlation(found.maps, explain(demo_clip(), _on_cpu(name), dtype="float32").maps) >= SAME


@pytest.mark.parametrize("method", sorted({*METHODS, *INPUT_METHODS} - SLOW))
def test_each_method_gives_on_a_gpu_what_it_gives_on_the_cpu(method: str) -> None:
    name = "playground-tubelet" if method in OF_ATTENTION else "playground-r2plus1d"
    settings = {"method": method, "dtype": "float32", "stride": 16}
    if method in INPUT_METHODS:
        settings["passes"] = 24
    gpu, cpu = (explain(demo_clip(), model, "waving", **settings) for model in (load_model(name), _on_cpu(name)))
    assert gpu.maps.max() > 0
    assert correlation(gpu.maps, cpu.maps) > 0.999


@pytest.mark.parametrize("evidence", ["motion", "appearance"])
def test_evidence_on_a_gpu_is_that_of_the_cpu(evidence: str) -> None:
    gpu, cpu = (
        explain(demo_clip(), model, "waving", evidence=evidence, dtype="float32")
        for model in (load_model("playground-r2plus1d"), _on_cpu())
    )
    assert correlation(gpu.maps, cpu.maps) > 0.999


def test_processes_that_share_a_gpu_give_the_rows_of_one(tmp_path: Path) -> None:
    manifest = tmp_path / "clips.jsonl"
    manifest.write_text("".join(json.dumps({"path": str(clip)}) + "\n" for clip in demo_clips()), encoding="utf-8")
    rows = []
    for workers in (1, 3):
        config = ExplainConfig(dtype="float32")
        tally = run_corpus(manifest, tmp_path / str(workers), config, engine=local(workers))
        assert tally.explained == len(demo_clips())
        rows.append(pq.read_table(tally.table).select(["path", "prediction", "probability"]).to_pydict())
    one, three = rows
    assert one["path"] == three["path"] and one["prediction"] == three["prediction"]
    np.testing.assert_allclose(one["probability"], three["probability"], atol=1e-3)
