from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vidcam.corpus.manifest import Entry, Shard, located, read_manifest
from vidcam.corpus.results import Results
from vidcam.errors import SettingsError

ROWS: list[dict[str, Any]] = [
    {"path": "a.mp4", "target": None, "start": None, "end": None},
    {"path": "b, c.mp4", "target": "waving", "start": 1.5, "end": None},
    {"path": "sub/ü.mp4", "target": "3", "start": None, "end": 2.0},
    {"path": "https://host/x.mp4?id=1", "target": None, "start": 0.0, "end": 1.0},
]

CSV = """split,path,target,start,end
train,a.mp4,,,
train,"b, c.mp4",waving,1.5,
val,sub/ü.mp4,3,,2
val,https://host/x.mp4?id=1,,0,1.0
"""

paths = st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()) | st.sampled_from(
    ["../../etc/passwd", "..", ".", "/", "C:\\x", "a/../../b.mp4", "~", "-rf", "https://u:p@h/..", " "]
)
entries = st.builds(
    Entry,
    path=paths,
    target=st.none() | st.integers(0, 9) | st.text(max_size=3),
    start=st.none() | st.floats(0, 5),
    end=st.none() | st.floats(6, 9),
)


def test_the_three_kinds_hold_the_same(tmp_path: Path) -> None:
    expected = [Entry(**row) for row in ROWS]
    (tmp_path / "m.csv").write_text("\ufeff" + CSV, encoding="utf-8")
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps({**row, "more": [1]}) for row in ROWS) + "\n\n")
    pq.write_table(pa.Table.from_pylist([{**row, "more": 1} for row in ROWS]), tmp_path / "m.parquet")
    for name in ("m.csv", "m.jsonl", "m.parquet"):
        assert list(read_manifest(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.txt", "a.mp4", r"of no known kind; give a \.csv, \.jsonl, \.ndjson, \.parquet file"),
        ("m.csv", "clip\na.mp4\n", r"row 1: path: Field required"),
        ("m.csv", "path\na.mp4\n\n\nb.mp4,1\n", None),
        (
            "m.csv",
            "path,start,end\na.mp4,1,2\nb.mp4,4,3\n",
            r"row 2: stretch: the stretch ends at 3 s, before it starts",
        ),
        ("m.csv", "path,start\na.mp4,soon\n", r"row 1: start: Input should be a valid number"),
        ("m.csv", "path,start\na.mp4,-1\n", r"row 1: start: Input should be greater than or equal to 0"),
        ("m.csv", "path,end\na.mp4,nan\n", r"row 1: end: "),
        ("m.jsonl", '{"path": "a.mp4"}\n{"path": \n', r"cannot be read \(Expecting value"),
        ("m.jsonl", '["a.mp4"]\n', r"row 1 holds a list"),
        ("m.jsonl", '{"path": "a\\u0000b"}\n', r"row 1: stretch: the path holds what no name can hold"),
        ("m.jsonl", '{"path": "a\\ud800b"}\n', r"row 1: "),
        ("m.parquet", "no parquet", r"cannot be read"),
    ],
)
def test_wrong_manifests(tmp_path: Path, name: str, text: str, message: str | None) -> None:
    (tmp_path / name).write_text(text)
    if message is None:
        assert [e.path for e in read_manifest(tmp_path / name)] == ["a.mp4", "b.mp4"]
        return
    with pytest.raises(SettingsError, match=message):
        list(read_manifest(tmp_path / name))
    with pytest.raises(SettingsError, match="cannot be read"):
        list(read_manifest(tmp_path / f"missing-{name}".replace(".txt", ".csv")))


@given(st.lists(entries, max_size=8))
def test_rows_that_differ_have_folders_that_differ_and_lie_inside(rows: list[Entry]) -> None:
    out = Path("/out")
    folders = {entry: Results(out).folder(entry) for entry in rows}
    for entry, folder in folders.items():
        assert re.fullmatch(r"[A-Za-z0-9-]+", entry.id) and len(entry.id) <= 60
        assert folder.parent.parent == out / "clips" and ".." not in folder.parts
    keys = {(type(e.target), e.target, e.path, e.start, e.end) for e in rows if "://" not in e.path}
    assert len({e.id for e in rows if "://" not in e.path}) == len(keys)


def test_an_id_stays_what_it_is() -> None:
    assert Entry(path="a/b c.mp4", target="x", start=1).id == "b-c-3ec9dcbfdbf8ceda"


@given(st.integers(0, 40), st.integers(1, 7))
def test_shards_part_a_manifest(tmp_path_factory: pytest.TempPathFactory, rows: int, of: int) -> None:
    path = tmp_path_factory.mktemp("m") / "m.csv"
    path.write_text("path\n" + "".join(f"{i}.mp4\n" for i in range(rows)))
    parts = [[e.path for e in read_manifest(path, Shard(i, of))] for i in range(1, of + 1)]
    assert sorted(path for part in parts for path in part) == sorted(f"{i}.mp4" for i in range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_are_none(text: str) -> None:
    assert Shard.parsed("3/4") == Shard(3, 4)
    with pytest.raises(SettingsError, match="there is no shard"):
        Shard.parsed(text)


def test_where_clips_are(tmp_path: Path) -> None:
    assert located(Entry(path="a.mp4"), tmp_path) == tmp_path / "a.mp4"
    assert located(Entry(path="/b.mp4"), tmp_path) == Path("/b.mp4")
    assert located(Entry(path="file:///b.mp4"), tmp_path) == Path("/b.mp4")
    assert located(Entry(path="s3://bucket/c.mp4"), tmp_path) == "s3://bucket/c.mp4"


def test_entries_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Entry(path="a.mp4").path = "b.mp4"  # type: ignore[misc]
