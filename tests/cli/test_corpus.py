from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import Vidcam
from vidcam import cli
from vidcam.errors import VidcamError

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("in_process")
def test_rows_that_fail_are_counted_and_said(vidcam: Vidcam, tmp_path: Path, clip_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path\nclip.mp4\ngone.mp4\n")
    command = ["corpus", "run", str(manifest), "--out", str(tmp_path / "out")]
    run = vidcam(*command, "--workers", "1", "--max-duration", "10")
    assert run.returncode == 1 and "2 rows: 1 explained, 1 failed; 2 clips done in this run" in run.stdout
    assert "note: 1 of 2 rows failed; the first: gone.mp4 does not exist" in run.stderr
    again = vidcam(*command, "--workers", "1", "--json")
    told = json.loads(again.stdout)
    assert again.returncode == 1 and set(told) == {
        "table",
        "rows",
        "explained",
        "failed",
        "done",
        "first_error",
        "warned",
        "first_warning",
    }
    assert (told["rows"], told["explained"], told["failed"], told["done"]) == (2, 1, 1, 0)
    assert f"note: {told['warned']} of 2 rows have warnings; the first: {told['first_warning']}" in run.stderr.replace(
        "\n", " "
    )
    assert told["warned"] == 1 and told["first_warning"]
    manifest.write_text("path\nclip.mp4\n")
    whole = CliRunner().invoke(cli.app, command)
    assert whole.exit_code == 0 and "1 row: 1 explained, 0 failed; 0 clips done in this run" in whole.output
    for wrong, message in (
        (["--shard", "3/2"], "there is no shard '3/2'"),
        (["--engine", "spark"], "there is no engine 'spark'; choose one of local, ray"),
        (["--stride", "4"], "holds results of other settings (stride: None, now 4)"),
        (["--layer", "tail", "--overwrite"], "has no layer 'tail'"),
    ):
        refused = CliRunner().invoke(cli.app, [*command, *wrong])
        assert isinstance(refused.exception, VidcamError) and message in str(refused.exception)
