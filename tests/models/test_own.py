from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import vidcam
from tests.conftest import numbered, write_video
from vidcam import cli
from vidcam.cam.layout import Layout
from vidcam.errors import ModelError, SettingsError
from vidcam.models.own import own_model
from vidcam.recipe import read_config

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, width, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return {"logits": self.head(self.body(x).mean((2, 3, 4)))}

def build(width=6):
    return Net(width)

def broken():
    raise RuntimeError("no weights for that")

def text():
    return "net"
"""

CONFIG = """
model:
  factory: MODULE:build
  arguments: {width: 8}
  frames: 4
  preprocess: {resize: 36, crop: [32, 32], mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}
labels: LABELS
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of an importable module of a user's."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("run\nsit\nwave\njump\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def _config(tmp_path: Path, own: str, text: str = CONFIG) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("MODULE", own).replace("LABELS", str(tmp_path / "labels.txt")), encoding="utf-8")
    return path


def test_a_config_names_a_factory(own: str, tmp_path: Path, clip_path: Path) -> None:
    settings = read_config(_config(tmp_path, own), {"target": "wave"}, trusted=True)
    model = settings.load()
    assert model.spec.layer == "body" and model.labels == ("run", "sit", "wave", "jump")
    found = vidcam.explain(clip_path, model, settings.target)
    assert found.model == f"{own}:build" and found.target.label == "wave"
    assert found.maps.shape == (24, 16, 16) and found.maps.std() > 0


def test_no_code_is_run_for_a_config_that_is_not_trusted(own: str, tmp_path: Path, clip_path: Path) -> None:
    (tmp_path / f"{own}.py").write_text("raise SystemExit('this was run')", encoding="utf-8")
    path = _config(tmp_path, own)
    with pytest.raises(SettingsError, match=rf"names code to run \(factory '{own}:build'\).*pass --trust-config"):
        read_config(path, {})
    told = CliRunner().invoke(
        cli.app, ["explain", str(clip_path), "--config", str(path), "--out", str(tmp_path / "out")]
    )
    assert isinstance(told.exception, SettingsError) and not (tmp_path / "out").exists()


def test_weights_of_an_own_model(own: str, tmp_path: Path) -> None:
    weights = read_config(_config(tmp_path, own), {}, trusted=True).load().network.state_dict()
    changed = {f"module.{k}": v + 1 for k, v in weights.items()}
    torch.save(changed, tmp_path / "w.pth")
    loaded = read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()
    assert all(torch.equal(v, weights[k] + 1) for k, v in loaded.network.state_dict().items())
    torch.save({**changed, "n_averaged": torch.tensor(3)}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="1 tensor outside the network left out: n_averaged"):
        averaged = read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()
    assert all(torch.equal(v, weights[k] + 1) for k, v in averaged.network.state_dict().items())
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"do not fit the network: 4 missing: .*1 unexpected: other.weight"):
        read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("MODULE:broken", r"fails: RuntimeError: no weights for that, at .*own_\d+.py, line 17: raise RuntimeError"),
        ("MODULE:build2", r"has no function 'build2'"),
        ("MODULE:text", r"gives a str; it must give an nn.Module"),
        ("MODULE", r"names no function; give package.module:function"),
        ("nowhere.at_all:build", r"does not import \(ModuleNotFoundError: No module named 'nowhere'\)"),
    ],
)
def test_factories_that_fail(own: str, tmp_path: Path, factory: str, message: str) -> None:
    path = _config(tmp_path, own, f"model: {{factory: '{factory}'}}")
    with pytest.raises(ModelError, match=message):
        read_config(path, {}, trusted=True).load()


class Wants8Frames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((3, 4)).flatten(1))


def test_a_network_that_does_not_run_on_the_window() -> None:
    with pytest.raises(ModelError, match=r"Wants8Frames does not run on a window \(1, 3, 16, 112, 112\).*test_own.py"):
        own_model(Wants8Frames())
    assert own_model(Wants8Frames(), frames=8, labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ModelError, match="1 label given, Wants8Frames has 2 classes"):
        own_model(Wants8Frames(), frames=8, labels=["a"])


def test_numbers_in_a_file_of_labels_are_said(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("2 b\n1 a\n")
    model = own_model(Wants8Frames(), frames=8, labels=tmp_path / "classInd.txt")
    assert model.labels == ("a", "b") and "numbers from 1 to 2 give the order" in model.note


def test_a_module_is_explained_as_it_is(clip_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    found = vidcam.explain(clip_path, network, 1)
    assert (found.model, found.layer, found.target.label) == ("Sequential", "1", "class 1")
    assert found.maps.shape == (24, 28, 28)


def test_tokens_and_networks_of_frames(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv3d(3, 8, (2, 16, 16), (2, 16, 16))
            self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            tokens = self.block(self.patch(x).flatten(2).transpose(1, 2))
            return self.fc(tokens.mean(1)), tokens

    torch.manual_seed(0)
    model = own_model(Tokens(), frames=4, layout=Layout(grid=(2, 7, 7)), frame_rate=10)
    assert model.spec.layer == "block"
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(9)])
    assert vidcam.explain(path, model).maps.shape == (9, 7, 7)


def test_a_network_without_space_and_time() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 1 * 8 * 8, 2))
    with pytest.raises(ModelError, match="no layer whose output has time and space"):
        own_model(flat, frames=1, preprocess=vidcam.Preprocess(8, (8, 8), (0.0,) * 3, (1.0,) * 3))
