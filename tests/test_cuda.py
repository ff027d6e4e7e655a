"""On a GPU the explanation is that of the CPU; these tests need one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidcam.engine.agreement import correlation
from vidcam.engine.precision import SAME
from vidcam.explainer import explain
from vidcam.models.registry import Model, load_model
from vidcam.playground.demo import demo_clip

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def _on_cpu() -> Model:
    model = load_model("playground-r2plus1d")
    model.network.to("cpu")
    return model


@pytest.mark.parametrize("dense", [False, True])
def test_float32_on_a_gpu_is_float32_on_the_cpu(dense: bool) -> None:
    gpu = explain(demo_clip(), "playground-r2plus1d", dtype="float32", dense=dense)
    cpu = explain(demo_clip(), _on_cpu(), dtype="float32", dense=dense)
    assert gpu.target.label == cpu.target.label
    assert correlation(gpu.maps, cpu.maps) > 0.9999
    np.testing.assert_allclose(gpu.scores, cpu.scores, atol=1e-3)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16"])
def test_a_short_float_on_a_gpu_is_the_same_explanation(dtype: str) -> None:
    model = load_model("playground-r2plus1d")
    assert model.device.type == "cuda"
    found = explain(demo_clip(), model, dtype=dtype)
    assert found.computation["fidelity"] >= SAME
    assert correlation(found.maps, explain(demo_clip(), _on_cpu(), dtype="float32").maps) >= SAME
