"""What a person meets first: names, types, version, a short repr, and settings that are checked wherever they are given."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import vidcam
from vidcam.cam.fusion import fuse
from vidcam.errors import SettingsError, VidcamError
from vidcam.models.preprocess import Preprocess
from vidcam.temporal.curves import evidence_curve


def test_completion_offers_the_public_names_and_nothing_else() -> None:
    assert dir(vidcam) == sorted(vidcam.__all__)
    assert {"explain", "localize", "load_model", "own_model", "Preprocess", "__version__"} <= set(dir(vidcam))
    for name in vidcam.__all__:
        assert getattr(vidcam, name) is not None


def test_importing_vidcam_loads_no_torch() -> None:
    code = "import sys, vidcam; assert not {'torch', 'av', 'numpy'} & set(sys.modules); print(vidcam.__version__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout[0].isdigit()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["playground-r2plus1d", "playground-c3d"])
def test_explaining_by_a_bundled_network_imports_neither_a_compiler_nor_other_networks(
    name: str, tmp_path: Path
) -> None:
    code = f"""
import sys
import numpy as np
import vidcam
frames = np.random.default_rng(0).integers(0, 256, (96, 112, 112, 3), np.uint8)
found = vidcam.explain(frames, {name!r}, frame_rate=16)
assert found.computation["fidelity"] > 0.995, "the network was not optimized"
found.save({str(tmp_path)!r})
print(*sorted({{module.partition(".")[0] for module in sys.modules}}), "torch._dynamo" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[-1] == "False" and {"torch", "av", "matplotlib"} <= set(said)
    assert not {"torchvision", "pytorchvideo", "transformers", "scipy"} & set(said)


def test_the_command_line_tells_its_version() -> None:
    said = subprocess.run([sys.executable, "-m", "vidcam.cli", "--version"], capture_output=True, text=True)
    assert said.stdout == f"vidcam {vidcam.__version__}\n"


@pytest.mark.slow
def test_a_type_checker_sees_the_types_from_outside(tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(
        "import vidcam\nfound = vidcam.explain('clip.mp4')\nreveal_type(found)\nreveal_type(found.maps)\nfound.nothing\n"
    )
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", user], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert '"vidcam.results.explanation.Explanation"' in said and "ndarray" in said
    assert '"Explanation" has no attribute "nothing"' in said


@pytest.mark.parametrize(
    "settings",
    [
        {"fusion": "median"},
        {"method": "magic"},
        {"dtype": "float8"},
        {"stride": 0},
        {"stride": -1},
        {"stride": 2.5},
        {"stride": True},
        {"sampling_rate": 0},
        {"layer": "nowhere"},
        {"target": "flying"},
    ],
    ids=str,
)
def test_nonsense_is_refused_by_explain(clip_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(VidcamError):
        vidcam.explain(clip_path, **settings)


@pytest.mark.parametrize("settings", [{"curve": "magic"}, {"evidence": "median"}, {"stride": 0}], ids=str)
def test_nonsense_is_refused_by_localize(clip_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(VidcamError):
        vidcam.localize(clip_path, **settings)


def test_nonsense_is_refused_by_the_functions_below() -> None:
    maps: Any = np.ones((2, 3, 3), np.float32)
    with pytest.raises(SettingsError, match="no fusion 'median'; choose one of mean, max"):
        fuse([maps], "median")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no evidence 'median'; choose one of mean, max, top"):
        evidence_curve(maps, "median")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": (113, 112)},
        {"resize": 100},
        {"crop": (0, 112)},
        {"resize": (112.0, 112)},
        {"resize": -1},
        {"std": (1.0, 0.0, 1.0)},
        {"mean": (0.0, float("nan"), 0.0)},
        {"mean": (0.0,)},
    ],
    ids=str,
)
def test_a_preprocess_that_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"resize": 112, "crop": (112, 112), "mean": (0.0,) * 3, "std": (1.0,) * 3}
    Preprocess(**good)
    with pytest.raises(SettingsError):
        Preprocess(**{**good, **changes})


def test_a_long_strip_is_not_resized_whole() -> None:
    preprocess = Preprocess(128, (112, 112), (0.0,) * 3, (1.0,) * 3)
    pixels = np.zeros((4, 60_000, 3), np.uint8)
    pixels[:, 29_999:30_001] = 200
    seen = preprocess.frame(pixels)
    assert seen.shape == (112, 112, 3)
    columns = seen[:, :, 0].mean(0)
    assert columns[50:62].min() > 100 and columns[[0, 111]].max() < 20


def test_a_device_is_chosen_by_name(clip_path: Path) -> None:
    assert vidcam.load_model("playground-r2plus1d", device="cpu").device.type == "cpu"
    for device in ("cuda:7", "tpu", "", "cpu; rm"):
        with pytest.raises(SettingsError, match="there is no device"):
            vidcam.explain(clip_path, device=device)
        with pytest.raises(SettingsError, match="there is no device"):
            vidcam.load_model("playground-c3d", device=device)


def test_an_own_network_is_moved_where_it_is_asked_for() -> None:
    moved: list[Any] = []

    class Net(nn.Module):
        def to(self, *args: Any, **kwargs: Any) -> Any:
            moved.append(args)
            return super().to(*args, **kwargs)

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    model = vidcam.load_model("playground-r2plus1d")
    network = Net()
    network.inner = model.network
    vidcam.Explainer(replace(model, network=network), vidcam.Recipe(layer="inner.layer3", device="cpu"))
    assert [str(args[0]) for args in moved] == ["cpu"]
