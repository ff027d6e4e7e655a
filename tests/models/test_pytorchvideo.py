from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidcam.cam.layers import space_time_layers
from vidcam.errors import ModelError
from vidcam.models import pytorchvideo
from vidcam.models.registry import load_model, model_names, spec_named


def test_pathways_are_those_of_slowfast() -> None:
    windows = torch.arange(32.0).view(1, 1, 32, 1, 1).expand(1, 3, 32, 2, 2)
    slow, fast = pytorchvideo.pathways(windows)
    assert fast is windows
    assert slow[0, 0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames", "side"), [("x3d_xs", 4, 160), ("r2plus1d_r50", 16, 224)])
def test_scores_come_out_and_no_probabilities(name: str, frames: int, side: int) -> None:
    network = pytorchvideo.build(name, 7).eval()
    with torch.no_grad():
        scores = network(torch.randn(1, 3, frames, side, side))
    assert scores.shape == (1, 7) and not torch.isclose(scores.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("name", ["slow_r50", "slowfast_r50", "x3d_m", "csn_r101", "r2plus1d_r50"])
def test_without_network_the_error_says_what_to_fetch(name: str, refused: None) -> None:
    with pytest.raises(ModelError, match=r"cannot be downloaded .*fetch https://dl.fbaipublicfiles.com/.*\.pyth"):
        spec_named(name).published()


@pytest.mark.slow
def test_a_published_file_in_the_cache_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = pytorchvideo.build("x3d_xs", 400)
    (tmp_path / "checkpoints").mkdir()
    torch.save({"model_state": network.state_dict()}, tmp_path / "checkpoints" / "X3D_XS.pyth")
    loaded = load_model("x3d_xs")
    assert loaded.labels[5] == "archery" and loaded.note == ""
    expected = network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.network.state_dict().items())
    torch.save(network.state_dict(), tmp_path / "mine.pyth")
    assert load_model("x3d_xs", tmp_path / "mine.pyth").labels == loaded.labels


LAST_STAGES = {
    "slow_r50": [(2048, 8, 8, 8)],
    "slowfast_r50": [(2048, 8, 8, 8), (256, 32, 8, 8)],
    "slowfast_r101": [(2048, 8, 8, 8), (256, 32, 8, 8)],
    "x3d_xs": [(192, 4, 6, 6)],
    "x3d_s": [(192, 13, 6, 6)],
    "x3d_m": [(192, 16, 8, 8)],
    "x3d_l": [(192, 16, 12, 12)],
    "r2plus1d_r50": [(2048, 4, 8, 8)],
    "i3d_r50": [(2048, 4, 8, 8)],
    "c2d_r50": [(2048, 4, 8, 8)],
    "csn_r101": [(2048, 4, 8, 8)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST_STAGES)
def test_the_default_layers_are_the_last_stage_before_the_head(name: str) -> None:
    spec = spec_named(name)
    with torch.device("meta"):  # its shapes alone
        network, window = spec.build(400).eval(), torch.zeros(1, 3, spec.frames, *spec.preprocess.crop)
        found = space_time_layers(network, spec.pack(window), frames=spec.frames)
    assert [found[layer].shape for layer in spec.layer.split(",")] == LAST_STAGES[name]
    last = len(network.blocks) - (
        3 if name.startswith("slowfast") else 2
    )  # behind it are the head, and SlowFast's pools
    assert all(layer.split(".")[:2] == ["blocks", str(last)] for layer in spec.layer.split(","))


def test_every_hub_model_asked_for_is_there() -> None:
    names = "slow_r50 slowfast_r50 slowfast_r101 x3d_xs x3d_s x3d_m x3d_l r2plus1d_r50 i3d_r50 c2d_r50 csn_r101"
    assert set(names.split()) <= set(model_names())


_BESIDE_A_NEWER_TORCH = """
import importlib.abc, sys
class Fails(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "pytorchvideo":
            raise AttributeError("torch has no attribute _C_old")
sys.meta_path.insert(0, Fails())
from vidcam.cam.layers import space_time_layers
from vidcam.errors import ModelError
from vidcam.models.registry import load_model, model_names, spec_named
load_model("r3d_18", "none")
assert all(spec_named(name).labels for name in model_names())
try:
    load_model("slow_r50", "none")
except ModelError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_pytorchvideo_that_does_not_import_breaks_its_own_networks_alone() -> None:
    run = subprocess.run([sys.executable, "-c", _BESIDE_A_NEWER_TORCH], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "slow_r50 needs pytorchvideo, which does not import beside torch" in run.stdout and "_C_old" in run.stdout
