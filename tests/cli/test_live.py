from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vidcam import cli
from vidcam.playground.demo import demo_clip
from vidcam.video.reader import Clip

pytestmark = pytest.mark.slow


def _run(*words: str) -> tuple[int, str, str]:
    told = CliRunner().invoke(cli.app, ["live", *words])
    return told.exit_code, told.stdout, told.stderr


def test_a_file_is_explained_recorded_and_told_in_lines(tmp_path: Path) -> None:
    record = tmp_path / "live.mp4"
    code, out, err = _run(str(demo_clip()), "--json", "--record", str(record), "--dtype", "float32")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    windows = [line for line in lines if line["event"] == "window"]
    assert windows and all(0 < w["ends"] - w["begins"] < 1 for w in windows)
    assert {line["event"] for line in lines} <= {"window", "segment"}
    assert "80 frames" in err and f"{len(windows)} windows explained" in err
    assert len(list(Clip(record))) == 80


def test_a_run_ends_after_its_seconds_and_prints_a_summary() -> None:
    code, _, err = _run(str(demo_clip()), "--seconds", "1", "--dtype", "float32")
    assert code == 0 and "without a break" in err
    assert int(err.split(" frames")[0].split()[-1]) < 80


def test_a_page_is_served_while_it_runs() -> None:
    code, _, err = _run(str(demo_clip()), "--seconds", "1", "--port", "0", "--dtype", "float32")
    assert code == 0 and "http://127.0.0.1:" in err


def test_what_cannot_be_used_is_told_before_anything_runs(tmp_path: Path) -> None:
    record = tmp_path / "live.mp4"
    record.touch()
    for words, text in (
        (("no-such.mp4",), "does not exist"),
        ((str(demo_clip()), "--record", str(record)), "exists; pass --overwrite"),
        ((str(demo_clip()), "--target", "top3"), "a stream shows one"),
        ((str(demo_clip()), "--window"), "shows no windows"),
    ):
        told = CliRunner().invoke(cli.app, ["live", *words])
        assert told.exit_code != 0 and text in str(told.exception), words
