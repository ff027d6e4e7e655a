"""Every code block of the README and the pages is run, on a clip, or, where it takes hours, at least read by what it names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from tests.conftest import numbered, write_video
from vidcam import cli
from vidcam.models import registry, torchvision
from vidcam.models.preprocess import Preprocess
from vidcam.models.torchvision_import import import_torchvision
from vidcam.playground.demo import demo_clip
from vidcam.playground.spec import bundled_weights

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])

HOURS = (
    "playground train",
    "playground accuracy",
    "evaluate",
    "errors",
    *(f"live {source}" for source in ("0", "rtsp:", "tcp:", "hls+")),
)
"""Commands that take minutes or hours, or need a camera, as they are written: their options are read, and that is all."""

VARIABLES = {"$family": "sanity", "$model": "playground-r2plus1d"}

OTHERS = (
    "scripts/",
    "pip install",
    "ffmpeg -re",
    "pipx run",
    "python scripts/",
    "for ",
    "done",
    "git clone",
    ".venv/bin/",
    "cd ",
    "mkdocs",
)
"""Lines that are not vidcam's own; what files they name has to be there."""


def _blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of weights as if they had been downloaded; they are random."""
    cache = tmp_path_factory.mktemp("torch")
    (cache / "hub" / "checkpoints").mkdir(parents=True)
    for name, file, classes in (
        ("r2plus1d_18", "r2plus1d_18-91a641e6.pth", 400),
        ("resnet50", "resnet50-11ad3fa6.pth", 1000),
    ):
        torch.manual_seed(0)
        torch.save(torchvision.build(name, classes).state_dict(), cache / "hub" / "checkpoints" / file)
    return cache


@pytest.fixture(scope="session")
def videomae(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder of a small VideoMAE with random weights, as `save_pretrained` writes it; None without transformers."""
    import_torchvision()  # transformers imports it
    try:
        import transformers
    except ImportError:
        return None
    folder = tmp_path_factory.mktemp("transformers") / "videomae"
    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    transformers.VideoMAEForVideoClassification(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    transformers.VideoMAEImageProcessor(**size).save_pretrained(folder)
    return folder


def _needs_transformers(blocks: list[str], videomae: Path | None) -> None:
    if videomae is None and any("hf:" in block for block in blocks):
        pytest.skip("transformers is not installed: pip install 'vidcam[hf]'")


@pytest.fixture
def place(
    tmp_path: Path, weights: Path, videomae: Path | None, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with what the pages name: a clip, a picture, weights, labels, a manifest. Nothing is downloaded."""
    write_video(tmp_path / "clip.mp4", [numbered(i, 96, 128) for i in range(16)])
    for name in ("a.mp4", "b.mp4"):
        shutil.copyfile(demo_clip(), tmp_path / name)
    (tmp_path / "clips").mkdir()
    shutil.copyfile(demo_clip(), tmp_path / "clips" / "a.mp4")
    (tmp_path / "clips" / "labels.csv").write_text("a.mp4,bowing\n")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "photo.jpg")
    shutil.copyfile(bundled_weights("playground-r2plus1d"), tmp_path / "mine.safetensors")
    (tmp_path / "labels.txt").write_text("\n".join(f"label {i}" for i in range(11)))
    (tmp_path / "manifest.csv").write_text("path\nclip.mp4\n")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "networks_of_mine.py").write_text(
        "from vidcam.playground.networks import SmallR2Plus1D\n\n\ndef build():\n    return SmallR2Plus1D(4)\n"
    )
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"model": {"factory": "networks_of_mine:build"}}))
    if videomae is not None:
        shutil.copytree(videomae, tmp_path / "videomae")
    small = replace(registry.spec_named("r2plus1d_18"), preprocess=Preprocess(64, (56, 56), (0.43,) * 3, (0.22,) * 3))
    monkeypatch.setitem(registry._SPECS, "r2plus1d_18", small)  # its commands, on pictures of a quarter
    monkeypatch.setenv("TORCH_HOME", str(weights))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_blocks(page: Path, place: Path, videomae: Path | None) -> None:
    _needs_transformers(_blocks(page, "sh"), videomae)
    for block in _blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            command = reduce(lambda text, pair: text.replace(*pair), VARIABLES.items(), line.split("#")[0].strip())
            if command.startswith("vidcam "):
                if page.name != "README.md":  # whose commands run in order in one folder
                    _clear(place)
                _run(shlex.split(command)[1:])
            elif command:
                assert command.startswith(OTHERS), f"{page.name}: {command}"
                for name in re.findall(r"(?:scripts|configs|tests|docs)/[\w/.]+", command):
                    assert (ROOT / name).exists(), f"{page.name}: {command}"


def _clear(place: Path) -> None:
    for written in ("out", "results", "vidcam-out", "vidcam-demo"):
        shutil.rmtree(place / written, ignore_errors=True)


def _run(arguments: list[str]) -> None:
    command = " ".join(arguments)
    if command == "app" or command.startswith(HOURS):
        _read(arguments)
        return
    told = CliRunner().invoke(cli.app, arguments)
    assert told.exit_code == 0, f"{command}: {told.output} {told.exception!r}"


def _read(arguments: list[str]) -> None:
    """Check the options of a command without running it."""
    group: Any = typer.main.get_command(cli.app)
    context = group.make_context("vidcam", list(arguments))
    while hasattr(group, "commands"):
        group = group.commands[arguments.pop(0)]
    group.make_context(group.name, arguments, parent=context)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks(page: Path, place: Path, videomae: Path | None) -> None:
    blocks = _blocks(page, "python")
    _needs_transformers(blocks, videomae)
    if any("results.parquet" in block for block in blocks):
        _run(["corpus", "run", "manifest.csv", "--out", "results", "--workers", "1"])
    names = [f"label {i}" for i in range(4)]
    known: dict[str, Any] = {"network": _network(), "mean": (0.4,) * 3, "std": (0.2,) * 3, "names": names}
    for block in blocks:
        exec(compile(block, page.name, "exec"), known)


def _network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 4))
    return body.eval()


@pytest.mark.slow
def test_what_the_architecture_adds_can_be_added(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "vidcam", tmp_path / "vidcam", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "demo_clips", tmp_path / "demo_clips")
    diffs = _blocks(ROOT / "ARCHITECTURE.md", "diff")
    assert len(diffs) == 3
    for diff in diffs:
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, check=True)
    commands = ["methods", "models", "explain demo_clips/bowing.mp4 --out out --method gradient-times-activation"]
    code = f"from vidcam import cli\nfor command in {commands}: cli.app(command.split(), standalone_mode=False)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    for told in ("gradient-times-activation", "c3d-hmdb51", "overlay"):
        assert told in run.stdout, run.stderr
    assert (tmp_path / "out" / "strongest.csv").read_text().startswith("time_s,heat\n0.000000,")


def test_there_are_blocks_and_they_can_fail(place: Path) -> None:
    assert sum(len(_blocks(page, kind)) for page in PAGES for kind in ("sh", "python")) > 25
    with pytest.raises(Exception, match="No such option"):
        _read(["evaluate", "sanity", "--no-such-option"])
    with pytest.raises(AssertionError):
        _run(["explain", "clip.mp4", "--method", "no-such-method"])


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < 2**21, picture


def test_each_promise_of_security_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    promises = [line for line in text[: text.index("## What is not promised")].splitlines() if line.startswith("| ")][
        1:
    ]
    assert len(promises) > 10
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promise)
        assert named, promise
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), (file, test)


def test_the_gallery_shows_the_commands_that_made_its_pictures() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((pictures/\w+\.webp)\)", text)
    assert len(set(pictures)) >= 12
    total = sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir())
    assert total < 600_000
    commands = re.findall(r"^    vidcam (.+)$", text, re.M)
    assert len(commands) >= len(pictures)
    for command in commands:
        _read(shlex.split(command))
