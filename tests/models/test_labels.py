from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcam.errors import ModelError
from vidcam.models.labels import Labels, read_labels


def _read(folder: Path, content: str | bytes, name: str = "labels.txt") -> Labels:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        "run\nsit down\nwave\n",
        "run\nsit down\nwave",
        "\ufeffrun\r\nsit down\r\nwave\r\n",
        "run\rsit down\rwave\r",
        "\n\nrun\n\n\nsit down\n   \nwave\n\n\t\n",
        "\trun\t\n sit down \nwave\n",
    ],
)
def test_one_label_a_line(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text) == (("run", "sit down", "wave"), "")


@pytest.mark.parametrize(
    "text",
    [
        "1 run\n2 sit down\n3 wave\n",
        "\ufeff1 run\r\n2 sit down\r\n\r\n3 wave\r\n\r\n",
        "1\trun\n2\tsit down\n3\twave",
        "2 sit down\n3 wave\n1 run\n",
        "001  run\n002  sit down\n003  wave\n",
        "1. run\n2. sit down\n3. wave\n",
        "1: run\n2: sit down\n3: wave\n",
        "1,run\n2,sit down\n3,wave\n",
        "run,1\nsit down,2\nwave,3\n",
        "wave\t3\nrun\t1\nsit down\t2\n",
    ],
)
def test_numbers_of_the_lines_give_the_order(tmp_path: Path, text: str) -> None:
    note = f"labels file {tmp_path / 'labels.txt'}: numbers from 1 to 3 give the order of the labels"
    assert _read(tmp_path, text) == (("run", "sit down", "wave"), note)
    from_zero = _read(tmp_path, text.translate(str.maketrans("123", "012")))
    assert from_zero == (("run", "sit down", "wave"), note.replace("1 to 3", "0 to 2"))


@given(st.permutations([f"{i} label {i}" for i in range(1, 13)]))
def test_numbers_in_any_order(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    found = _read(tmp_path_factory.mktemp("labels"), "\n".join(lines))
    assert found.names == tuple(f"label {i}" for i in range(1, 13))


@pytest.mark.parametrize(
    "labels",
    [
        ["3 point shot", "run", "sit"],
        ["run", "sit", "1 legged hop"],
        ["3 point shot", "2 point shot", "layup"],
        ["3 point shot", "2 point shot"],
        ["100 m", "200 m", "400 m"],
        ["100 m dash", "1 legged hop", "run"],
        ["4x100 relay", "2-step"],
        ["1st", "2nd", "3rd"],
        ["class 0", "class 1"],
        ["0", "1", "2"],
        ["throw, then catch", "catch; 5 times"],
    ],
)
def test_labels_that_hold_numbers_keep_them(tmp_path: Path, labels: list[str]) -> None:
    assert _read(tmp_path, "\n".join(labels) + "\n") == (tuple(labels), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 a\n1 b\n3 d\n4 e\n", "line 3 has the number 3, where 2 is expected"),
        ("1 a\n\n2 b\n4 d\n", "line 4 has the number 4, where 3 is expected"),
        ("4 d\n0 a\n1 b\n", "line 1 has the number 4, where 2 is expected"),
        ("2 b\n3 c\n4 d\n", "line 1 has the number 2, where 0 or 1 is expected"),
        ("0 a\n2 c\n", "line 2 has the number 2, where 1 is expected"),
        ("1 a\n2 b\n2 c\n3 d\n", "line 3 has the number 2, where 3 is expected"),
        ("0 a\n1 b\nc\n", "line 3 has no number, and most others do"),
        ("id name\n0 a\n1 b\n", "line 1 has no number, and most others do"),
        ("0 a\n1\n2 c\n", "line 2 has no number, and most others do"),
        ("run\nsit\n\nrun\n", "line 4 repeats the label 'run' of line 1"),
        ("1 run\n2 sit\n3 run\n", "line 3 repeats the label 'run' of line 1"),
        ("run\tto run\nsit\tto sit\n", r"line 1 has a tab in 'run\\tto run'"),
        ("a\n" + "x" * 1001, "line 2 has 1,001 characters"),
        ("a" + "\t" * 10**6 + "b", "line 1 has 1,000,002 characters"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("run\nsit down\n", ""),
        ("name\r\nrun\r\nsit down\r\n", ""),
        ("id,name\n0,run\n1,sit down\n", "0 to 1"),
        ("\ufeffname,id\r\nrun,1\r\n\r\nsit down,2\r\n", "1 to 2"),
        ('0,"run"\n1,"sit down"\n', "0 to 1"),
        ("1,sit down\n0,run\n", "0 to 1"),
        ("1 run\n2 sit down\n", "1 to 2"),
        ("0;run\r\n1;sit down\r\n", "0 to 1"),
    ],
)
def test_csv_files(tmp_path: Path, text: str, numbers: str) -> None:
    found = _read(tmp_path, text, "labels.csv")
    assert found.names == ("run", "sit down") and (numbers in found.note if numbers else found.note == "")


def test_a_csv_file_quotes_commas(tmp_path: Path) -> None:
    assert _read(tmp_path, '0,"run, then sit"\n1,"3 point shot"\n', "labels.csv").names == (
        "run, then sit",
        "3 point shot",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n0,run\n2,sit\n", "line 3 has the number 2, where 1 is expected"),
        ("0,run\n1,sit\nx,wave\n", r"line 3 is \['x', 'wave'\]; give a number and a label"),
        ("0,run\n1\n", r"line 2 is \['1'\]; give a label, or its number and a label"),
        ("0,run\n1,\n", r"line 2 is \['1', ''\]"),
        ("run,to run\nsit,to sit\n", "line 2 is .*give a number and a label"),
        ("label,youtube_id,split\nrun,x,train\n", "line 1 is .*give a label, or its number"),
        ("0,run\n1,run\n", "line 2 repeats the label 'run' of line 1"),
        ('0,"run', "cannot be read"),
    ],
)
def test_csv_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _read(tmp_path, text, "labels.csv")


@pytest.mark.parametrize(
    "stored",
    [
        {"sit down": 1, "run": 0},
        {"1": "sit down", "0": "run"},
        {"1": "run", "2": "sit down"},
        {"sit down": "1", "run": "0"},
        {'"sit down"': 1, "run": 0},
        ["run", "sit down"],
    ],
)
def test_json_files(tmp_path: Path, stored: Any) -> None:
    for name in ("labels.json", "labels.txt"):
        assert _read(tmp_path, "\ufeff" + json.dumps(stored), name).names == ("run", "sit down")
    assert _read(tmp_path, json.dumps(["0 run", "1 sit"]), "l.json") == (("0 run", "1 sit"), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"run": 0, "sit": 2}', "entry 'sit' has the number 2, where 1 is expected"),
        ('{"2": "run", "3": "sit"}', "entry '2' has the number 2, where 0 or 1 is expected"),
        ('{"run": 0, "sit": 0}', "entry 'sit' has the number 0, where 1 is expected"),
        ('{"0": "run", "1": "run"}', "entry '1' repeats the label 'run' of entry '0'"),
        ('{"run": 0, "run": 1}', "an object has the name 'run' twice"),
        ('{"0": "run", "1": ["n01", "sit"]}', r"entry '1' is \['n01', 'sit'\]; give a label as text"),
        ('{"run": 0, "sit": null}', "entry 'sit' is None; give a label and a number"),
        ('{"run": -1, "sit": 0}', "entry 'run' is -1; give a label and a number"),
        ('{"run": true, "sit": 0}', "entry 'run' is True; give a label and a number"),
        ('{"0": "1", "1": "0"}', "entry '0' is '1'; give a label and a number"),
        ('{"labels": ["run", "sit"]}', "entry 'labels' is .*; give a label and a number"),
        ('["run", 5]', "entry 1 is 5; give a label as text"),
        ('["run", "run"]', "entry 1 repeats the label 'run' of entry 0"),
        ('["run", ""]', "entry 1 is ''; give a label as text"),
        ("5", "it holds 5; give a list of labels"),
        ('{"run": 0', "cannot be read"),
    ],
)
def test_json_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _read(tmp_path, text, "labels.json")


@pytest.mark.parametrize("content", [b"\xff\xfer\x00u\x00n\x00", b"\xe9t\xe9\n", b"[" * 100_000])
def test_files_that_are_no_utf8_text(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"labels\.txt cannot be read"):
        _read(tmp_path, content)


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.json"])
def test_every_form_is_named_where_a_file_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"give UTF-8 text with one label a line, CSV .* or JSON"):
        _read(tmp_path, b"\xff\xfe", name)


def test_an_empty_file_has_no_labels(tmp_path: Path) -> None:
    for name in ("labels.txt", "labels.csv"):
        assert _read(tmp_path, "\ufeff\r\n\n", name) == ((), "")
    assert _read(tmp_path, "{}", "labels.json") == ((), "")
