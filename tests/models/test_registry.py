from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import only
from vidcam.cam.capture import captured
from vidcam.cam.layers import space_time_layers
from vidcam.cam.methods import gradcam_plus_plus
from vidcam.errors import ModelError
from vidcam.models.registry import bundled_weights, load_model, model_names, spec_named


@pytest.mark.parametrize("name", ["playground-r2plus1d", "playground-c3d", "r2plus1d_18", "r3d_18", "mc3_18", "s3d"])
def test_the_default_layer_gives_a_map(name: str) -> None:
    model = load_model(name, "none")
    torch.manual_seed(0)
    frames = min(model.spec.frames, 16)
    x = torch.randn(1, 3, frames, *model.spec.preprocess.crop)
    assert model.spec.layer in space_time_layers(model.network, x)
    with captured(model.network, [model.spec.layer], x) as capture:
        assert capture.output.shape == (1, len(model.labels))
        heat = gradcam_plus_plus(only(capture.activations), only(capture.gradients(capture.output[:, 3])))
    assert torch.isfinite(heat).all() and heat.std() > 0
    assert "random weights" in model.note


def test_random_weights_are_the_same_every_time() -> None:
    first, second = (load_model("playground-c3d", "none").network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_kinetics_labels() -> None:
    labels = spec_named("r3d_18").labels()
    assert len(labels) == 400 and labels[5] == "archery"


@pytest.mark.parametrize("name", ["playground-r2plus1d", "playground-c3d"])
def test_bundled_weights_are_small_and_load(name: str) -> None:
    assert bundled_weights(name).stat().st_size <= 3_000_000
    model = load_model(name)
    assert model.note == "" and model.labels[model.background or 0] == "nothing"


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"there is no model 'r2plus1d'; did you mean .*r2plus1d_18"):
        load_model("r2plus1d")
    assert "c3d" in model_names()


@pytest.mark.parametrize("name", ["c3d", "c3d-caffe"])
def test_c3d_says_what_to_fetch(name: str) -> None:
    with pytest.raises(ModelError, match=r"fetch .*github.com.*--weights FILE.*bundled networks"):
        load_model(name)


def test_without_network_the_error_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused
    with pytest.raises(ModelError) as caught:
        load_model("r3d_18")
    message = str(caught.value)
    assert "https://download.pytorch.org/models/r3d_18-b3b3357e.pth" in message
    assert str(tmp_path / "hub" / "checkpoints" / "r3d_18-b3b3357e.pth") in message
    assert "playground-r2plus1d and playground-c3d need no download" in message


def test_a_file_with_other_classes_and_labels(tmp_path: Path) -> None:
    spec = spec_named("playground-r2plus1d")
    torch.save(spec.build(3).state_dict(), tmp_path / "mine.pth")
    assert load_model(spec.name, tmp_path / "mine.pth").labels == ("class 0", "class 1", "class 2")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert load_model(spec.name, tmp_path / "mine.pth", tmp_path / "labels.txt").labels == ("a", "b", "c")
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(ModelError, match="has 2 labels, the network 3 classes"):
        load_model(spec.name, tmp_path / "mine.pth", tmp_path / "labels.txt")
