from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from docs.command_line import commands, commands_page, default_of
from tests.cli.conftest import Vidcam
from vidcam.recipe import Recipe
from vidcam.results.drawing import Drawing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "none.mp4", "--out", "o"), "none.mp4 does not exist"),
        (("explain", "{clip}", "--out", "o", "--model", "c4d"), "there is no model 'c4d'"),
        (("explain", "{clip}", "--out", "o", "--target", "wavin"), "nearest: waving"),
        (
            ("explain", "{clip}", "--out", "o", "--layer", "conv9"),
            "has no layer 'conv9'; its space-time layers are stem.0,",
        ),
        (("explain", "{clip}", "--out", "o", "--method", "x"), "there is no method 'x'"),
        (("explain", "{clip}", "--out", "o", "--stride", "0"), "stride"),
        (("explain", "{clip}", "--out", "o", "--dtype", "half"), "dtype: Input should be 'auto', 'float32',"),
        (("localize", "{clip}", "--out", "o", "--dtype", "half"), "dtype: Input should be 'auto', 'float32',"),
        (
            ("tubes", "{clip}", "--out", "o", "--fusion", "median"),
            "there is no fusion 'median'; choose one of mean, max",
        ),
        (("compare", "{clip}", "--out", "o", "--device", "tpu"), "there is no device 'tpu'"),
        (("explain", "{clip}", "--out", "o", "--frame-rate", "30"), "has a frame rate of its own"),
        (("explain", "https://127.0.0.1:9/a.mp4", "--out", "o"), "https://127.0.0.1:9/a.mp4 cannot be fetched"),
        (("corpus", "run", "m.csv", "--out", "o", "--max-seconds", "0"), "seconds: Input should be greater than 0"),
        (("errors", "--out", "o", "--count", "0"), "count: Input should be greater than or equal to 1"),
        (
            ("explain", "{clip}", "--out", "o", "--dense", "--layer", "layer2,layer3"),
            "dense explains one layer, and layer2, layer3 are given",
        ),
        (("explain", "{clip}", "--out", "o", "--weights", "none.pth"), "weights file none.pth does not exist"),
        (("explain", "{clip}", "{clip}", "--out", "o"), "several clips are named 'clip'"),
        (("layers", "c4d"), "there is no model 'c4d'"),
        (("compare", "{clip}", "--out", "o", "--method", "gradcam"), "one explanation cannot be compared"),
        (("localize", "{clip}", "--out", "o", "--classes", "wavin"), "nearest: waving"),
        (("localize", "{clip}", "--out", "o", "--curve", "x"), "there is no curve 'x'"),
        (("localize", "{clip}", "--out", "o", "--truth", "t.json"), "t.json cannot be read"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(
    vidcam: Vidcam,
    clip_path: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vidcam(*[a.format(clip=clip_path) for a in arguments])
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and result.stdout == ""
    assert not (tmp_path / "o").exists()


def test_help_and_import_load_no_torch() -> None:
    code = "import sys, vidcam, vidcam.cli; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_installed_command_runs(clip_path: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "vidcam.cli", "explain", clip_path, "--out", tmp_path / "out"]
    found = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert found.returncode == 0 and "report" in found.stdout, found.stderr
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and again.stderr.startswith("error: ") and "already holds" in again.stderr


def test_version(vidcam: Vidcam) -> None:
    assert vidcam("--version").stdout == f"vidcam {version('vidcam')}\n"


@pytest.mark.parametrize(
    "command",
    ["explain", "compare", "tubes", "caption", "localize", "errors", "corpus run", "evaluate faithfulness"],
)
def test_each_command_has_the_options_of_a_recipe(
    vidcam: Vidcam, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = vidcam(*command.split(), "--help").stdout
    films = {"format", "film_width", "film_rate", "highlights"}
    without = {
        "explain": set(),
        "corpus run": set(),
        "compare": films,
        "tubes": {"check"} | films,
        "caption": {"layer", "evidence", "check"} | films,
        "localize": {"check", "evidence"} | set(vars(Drawing())),
    }
    names = set(Recipe.model_fields) - without.get(command, {"check"} | set(vars(Drawing())))
    assert all(f"--{name.replace('_', '-')}" in text for name in [*names, "config", "trust-config"])
    assert not any(f"--{name.replace('_', '-')} " in text for name in without.get(command, ()) if name != "evidence")
    assert "[default: (probability)]" in text and "--no-context" in text


def test_every_option_says_what_it_does_and_its_default() -> None:
    silent = [
        f"{name} {p.name}"
        for name, command in commands()
        for p in command.params
        if not p.help or not (p.required or p.name == "help" or p.is_flag or "by default" in p.help or default_of(p))
    ]
    assert silent == []


def test_the_page_of_the_command_line_has_every_command_and_option() -> None:
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)*)", commands_page(), re.M))
    shared = sections["Options of explanations"]
    for name, command in commands():
        section = sections[f"vidcam {name}"]
        takes_shared = "[options of explanations]" in section
        left_out = re.findall(r"except ([^;]*)", section)
        for p in command.params:
            if p.name != "help" and p.opts[0].startswith("-"):
                row = f"| `{p.opts[0]}`"
                assert row in section or (takes_shared and row in shared and f"`{p.opts[0]}`" not in str(left_out))
    assert "`--method gradcam++,gradcam`" in sections["vidcam compare"]
