from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vidcam
from vidcam.playground.flaws import FLAWS
from vidcam.playground.training import flawed


@pytest.mark.slow
def test_the_table_and_its_figures(vidcam: Vidcam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flawed, "STEPS", 1)
    arguments = ("evaluate", "flaws", "--networks", tmp_path, "--count", 2, "--method", "gradcam,hirescam")
    printed = vidcam(*arguments, "--json")
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout)
    assert [one["flaw"] for one in found] == list(FLAWS)
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}-1.safetensors" for name in FLAWS}
    table = vidcam(*arguments)
    assert table.returncode == 0 and "2 clips of seed 1 for each network" in table.stdout.replace("\n", " ")
    for one in found:
        assert f"{one['network']}: {FLAWS[one['flaw']].summary}" in table.stdout.replace("\n", " ")


def test_no_such_method(vidcam: Vidcam, tmp_path: Path) -> None:
    result = vidcam("evaluate", "flaws", "--networks", tmp_path, "--method", "magic")
    assert result.returncode == 2 and "there is no method 'magic'" in result.stderr
    assert not list(tmp_path.iterdir())
