from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidcam.cli.printing import plain, print_json, print_json_file, print_notes, progress_bar, stdout


def test_text_from_outside_is_printed_as_it_is_but_for_controls_and_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    stdout.print(plain("[bold]a\x1b[2J\nb[/] https://user:password@host/x?token=secretsecret"))
    said = capsys.readouterr().out
    assert said.startswith("[bold]a") and "\x1b" not in said and said.count("\n") == 1
    assert "password" not in said and "secret" not in said and "https://host/x" in said


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes(["one", "[two]"])
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "note: one\nnote: [two]\n"


def test_json_is_one_line_of_ascii(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "é\x7f\n", "maps": [1.5, None]}
    (tmp_path / "value.json").write_text(json.dumps(value, indent=2))
    print_json(value)
    print_json_file(tmp_path / "value.json")
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and first.isascii() and "\x7f" not in first and json.loads(first) == value


def test_a_progress_bar_is_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("[clip]") as progress:
        progress(1, 0)
        progress(2, 4)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
