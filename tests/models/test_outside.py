from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vidcam
from vidcam.errors import LayerError, ModelError, SettingsError
from vidcam.explainer import Explainer
from vidcam.models.outside import Outside, as_module, onnx_network
from vidcam.models.own import own_model
from vidcam.models.registry import Model
from vidcam.recipe import Recipe, read_config

SIZE = (4, 8, 8)
PREPROCESS = vidcam.Preprocess(8, (8, 8), (0.0,) * 3, (1.0,) * 3)


def _network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
        ).eval()


def _onnx(folder: Path) -> Path:
    path = folder / "network.onnx"
    torch.onnx.export(_network(), (torch.zeros(1, 3, *SIZE),), str(path), dynamo=False)
    return path


def _given(kind: str, folder: Path) -> Any:
    network, window = _network(), torch.zeros(1, 3, *SIZE)
    match kind:
        case "script":
            return torch.jit.script(network)
        case "export":
            return torch.export.export(network, (window,))
        case "module of export":
            return torch.export.export(network, (window,)).module()
        case "export of any batch":
            batch = {0: torch.export.Dim("n")}
            return torch.export.export(network, (torch.zeros(2, 3, *SIZE),), dynamic_shapes=(batch,))
        case "onnx":
            return onnx_network(_onnx(folder))
    return lambda windows: network(windows).detach().numpy()


def _frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)


KINDS = ["script", "export", "module of export", "export of any batch", "onnx", "function"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_from_outside_is_explained_as_its_module_is(kind: str, tmp_path: Path) -> None:
    labels = ["run", "sit", "wave"]
    inside = own_model(_network(), frames=4, preprocess=PREPROCESS, labels=labels)
    model = own_model(_given(kind, tmp_path), frames=4, preprocess=PREPROCESS, labels=labels)
    assert isinstance(model.network, Outside) and model.spec.layer == "" and model.labels == tuple(labels)
    assert model.network.one_by_one == (kind in ("export", "module of export", "onnx"))
    found = vidcam.explain(_frames(), model, "wave", passes=40)
    assert (found.method, found.layer) == ("rise", "input") and found.maps.max() > 0
    assert any("is seen from outside, without layers: it is explained at its input" in note for note in found.warnings)
    expected = vidcam.explain(_frames(), inside, "wave", method="rise", passes=40)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    for method in ("occlusion", "shapley"):
        maps = [vidcam.explain(_frames(), m, "wave", method=method, passes=30).maps for m in (model, inside)]
        np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-6)
    with pytest.raises(
        LayerError, match=r"is seen from outside and has no layers, and gradcam explains one; give.*rise"
    ):
        Explainer(model, Recipe(method="gradcam"))


@pytest.mark.parametrize("kind", ["script", "export", "onnx", "function"])
def test_gradients_by_the_pixels_where_there_are_any(kind: str, tmp_path: Path) -> None:
    model = own_model(_given(kind, tmp_path), frames=4, preprocess=PREPROCESS)
    if kind in ("onnx", "function"):
        with pytest.raises(ModelError, match="no gradient by the window's pixels"):
            vidcam.explain(_frames(), model, 1, method="smoothgrad", passes=2)
        return
    inside = own_model(_network(), frames=4, preprocess=PREPROCESS)
    found, expected = (vidcam.explain(_frames(), m, 1, method="integrated-gradients").maps for m in (model, inside))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_a_check_of_a_map_and_a_corpus_of_copies(tmp_path: Path) -> None:
    model = own_model(_given("function", tmp_path), frames=4, preprocess=PREPROCESS)
    found = vidcam.explain(_frames(), model, 1, check=True, passes=20, absent="grey")
    assert found.check is not None and found.check.hidden_by == "grey"
    assert deepcopy(model.network) is model.network


CONFIG = """
model:
  factory: FACTORY
  arguments: {NAME: PATH}
  frames: 4
  preprocess: {resize: 8, crop: [8, 8], mean: [0, 0, 0], std: [1, 1, 1]}
method: occlusion
passes: 30
"""


@pytest.mark.parametrize("kind", ["export", "onnx"])
def test_a_file_of_settings_names_a_program_or_an_onnx_file(kind: str, tmp_path: Path) -> None:
    if kind == "onnx":
        path, factory, name = _onnx(tmp_path), "vidcam.models.outside:onnx_network", "path"
    else:
        path, factory, name = tmp_path / "network.pt2", "torch.export:load", "f"
        torch.export.save(_given("export", tmp_path), path)
    text = CONFIG.replace("FACTORY", factory).replace("NAME", name).replace("PATH", str(path))
    (tmp_path / "a.yaml").write_text(text)
    config = read_config(tmp_path / "a.yaml", trusted=True)
    (found,) = Explainer(config.load(), config).explain(_frames(), 2)
    expected = vidcam.explain(
        _frames(), own_model(_network(), frames=4, preprocess=PREPROCESS), 2, method="occlusion", passes=30
    )
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-3, atol=1e-6)
    assert found.model == factory
    with pytest.raises(ModelError, match=f"{factory} gives a network that is seen from outside and takes no weights"):
        config.changed(weights="a.pth").load()


class Two(nn.Module):
    def forward(self, frames: Tensor, scale: Tensor) -> Tensor:
        return (frames * scale).mean((2, 3, 4))


def test_windows_one_by_one_with_several_inputs_and_outputs() -> None:
    seen: list[int] = []

    def function(frames: Tensor, *, scale: Tensor) -> Any:
        seen.append(len(frames))
        return {"scores": Two()(frames, scale).numpy(), "name": "two"}

    network = Outside(function)
    network.one_by_one = True
    frames, scale = torch.rand(3, 3, 2, 4, 4), torch.rand(3, 1, 1, 1, 1)
    found = network(frames, scale=scale)
    torch.testing.assert_close(found["scores"], Two()(frames, scale))
    assert seen == [1, 1, 1] and found["name"] == "two"


def _centred(windows: Tensor) -> Tensor:
    """Scores that depend on the windows beside a window."""
    return (windows - windows.mean(0)).std((2, 3, 4)) + windows.mean((2, 3, 4))


def test_a_function_that_mixes_the_windows_of_a_batch_gets_one_at_a_time() -> None:
    model = own_model(_centred, frames=4, preprocess=PREPROCESS)
    assert isinstance(model.network, Outside) and model.network.one_by_one
    windows = torch.rand(2, 3, *SIZE)
    torch.testing.assert_close(model.network(windows), torch.cat([_centred(w[None]) for w in windows]))


def _own(network: Any, **settings: Any) -> Model:
    return own_model(network, frames=4, preprocess=PREPROCESS, **settings)


def test_what_cannot_be_run_from_outside_is_refused() -> None:
    with pytest.raises(ModelError, match=r"str is a str; give an nn.Module, a program of torch.export, or a function"):
        _own("network")
    with pytest.raises(ModelError, match=r"_centred is seen from outside and has no layer 'body'; leave layer out"):
        _own(_centred, layer="body")
    with pytest.raises(ModelError, match=r"<lambda> does not run on a window \(1, 3, 4, 8, 8\).*ZeroDivisionError"):
        _own(lambda windows: 1 / 0)
    with pytest.raises(ModelError, match="gives a window another output in a second run"):
        _own(lambda windows: windows.mean((2, 3, 4)) + torch.randn(len(windows), 3))
    with pytest.raises(ModelError, match="gives probabilities itself"):
        _own(lambda windows: windows.mean((2, 3, 4)).softmax(1))
    assert as_module(_network(), "network").training is False


def test_onnx_files_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    for name in ("a.onnx", "none.onnx"):
        with pytest.raises(ModelError, match=f"{name} cannot be loaded as an ONNX file"):
            onnx_network(tmp_path / name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"pip install 'vidcam\[onnx\]'"):
        onnx_network(tmp_path / "a.onnx")
