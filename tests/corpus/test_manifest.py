from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vidcam.corpus.manifest import BadRow, Entry, Shard, clip_location, read_manifest
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
    ("name", "content", "message"),
    [
        ("m.txt", b"a.mp4", r"unknown format; give a \.csv, \.jsonl, \.ndjson, \.parquet file"),
        ("m.csv", b"clip\na.mp4\n", r"has no column path \(it has 'clip'\); columns are path"),
        ("m.csv", b"", r"has no column path \(it has none\)"),
        ("m.csv", b"https://u:S3CR3T@host/a.mp4\nb.mp4\n", r"has no column path \(it has 'https://host/a\.mp4'\)"),
        ("m.csv", b"path,Target\na.mp4,waving\n", r"has the column 'Target', which would not be read; write target"),
        ("m.csv", b"path, end\na.mp4,1\n", r"has the column ' end', which would not be read; write end"),
        ("m.csv", b"path,split,path\na.mp4,b,c.mp4\n", r"has the column path 2 times; give it once"),
        ("m.csv", b"path,end,end\na.mp4,1,2\n", r"has the column end 2 times; give it once"),
        ("m.csv", b'"path\na.mp4\n', r"cannot be read \(unexpected end of data\)"),
        ("m.csv", b"x" * 2**21, r"has no header: the line has more than"),
        ("m.parquet", b"no parquet", r"cannot be read"),
    ],
)
def test_manifests_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        list(read_manifest(tmp_path / name))
    with pytest.raises(SettingsError, match="cannot be read"):
        list(read_manifest(tmp_path / f"missing-{name}".replace(".txt", ".csv")))


def test_a_folder_of_clips_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is a folder; give a manifest: a \.csv file whose first line is path"):
        list(read_manifest(tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_nothing_but_a_file_is_read(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    (tmp_path / f"zero.{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"folder.{suffix}").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(SettingsError, match=r"cannot be read .* not a file"):
            list(read_manifest(tmp_path / f"{name}.{suffix}"))
    pq.write_table(pa.table({"clip": ["a.mp4"]}), tmp_path / "m.parquet")
    with pytest.raises(SettingsError, match=r"has no column path \(it has 'clip'\)"):
        list(read_manifest(tmp_path / "m.parquet"))


LONG = "x" * 2**20


@pytest.mark.parametrize(
    ("name", "bad", "clip", "message"),
    [
        ("m.csv", "bad.mp4,,4,3", "bad.mp4", "stretch: the stretch ends at 3 s, before it starts"),
        ("m.csv", "bad.mp4,,soon,", "bad.mp4", "start: it is not a number; give seconds, such as 12.5"),
        ("m.csv", "bad.mp4,,-1,", "bad.mp4", "start: Input should be greater than or equal to 0"),
        ("m.csv", "bad.mp4,,,nan", "bad.mp4", "end: "),
        ("m.csv", "bad.mp4,,1e308,", "bad.mp4", "start: Input should be less than 1000000000"),
        ("m.csv", "bad.mp4,,,1e18", "bad.mp4", "end: Input should be less than 1000000000"),
        ("m.csv", '"bad.mp4"x,,,', "row 2", "it is no row of a CSV file ("),
        ("m.jsonl", '{"path": "bad.mp4", "path": "a.mp4"}', "row 2", "it has 'path' twice"),
        ("m.csv", ",waving,,", "row 2", "path: Field required"),
        ("m.csv", "bad.mp4,caf\udce9,,", "bad.mp4", "target: it is not valid Unicode"),
        ("m.csv", "x" * 140_000, "row 2", "it is no row of a CSV file (field larger than field limit"),
        ("m.csv", "a," * 2**20, "row 2", "the line has more than 1,048,576 characters"),
        ("m.csv", "bad\0.mp4", "bad\\x00.mp4", "path: it holds a character that no file name can hold"),
        ("m.jsonl", '{"path": ', "row 2", "it is not JSON (Expecting value, column "),
        ("m.jsonl", '["bad.mp4"]', "row 2", "it holds a list; give an object"),
        ("m.jsonl", "[" * 100_000, "row 2", "its values are nested too deeply"),
        ("m.jsonl", '{"path": "bad.mp4", "x": ' + "[" * 100_000, "row 2", "its values are nested too deeply"),
        ("m.jsonl", f'{{"path": "bad.mp4", "target": {"9" * 5000}}}', "row 2", "it holds a number that is too long"),
        ("m.jsonl", f'{{"path": "bad.mp4", "x": "{LONG}"}}', "row 2", "the line has more than 1,048,576 characters"),
        ("m.jsonl", f'{{"path": "bad.mp4", "target": "{LONG[:2000]}"}}', "bad.mp4", "target: at most 1,000 characters"),
        ("m.jsonl", f'{{"path": "{LONG[:20000]}"}}', "row 2", "path: 1 to 16,384 characters"),
        (
            "m.jsonl",
            '{"path": "bad\\u0000.mp4"}',
            "bad\\x00.mp4",
            "path: it holds a character that no file name can hold",
        ),
        (
            "m.jsonl",
            '{"path": "bad\\ud800.mp4"}',
            "bad\\ud800.mp4",
            "path: it holds a character that no file name can hold",
        ),
        ("m.jsonl", '{"path": "bad.mp4", "target": "\\udfff"}', "bad.mp4", "target: it is not valid Unicode"),
        ("m.jsonl", '{"path": "bad.mp4", "target": "\\ud800"}', "bad.mp4", "target: it is not valid Unicode"),
        ("m.jsonl", '{"path": "bad.mp4", "target": true}', "bad.mp4", "target: true and false are not allowed"),
        ("m.jsonl", '{"path": "bad.mp4", "target": 1.5}', "bad.mp4", "target: "),
        ("m.jsonl", '{"path": "bad.mp4", "start": false}', "bad.mp4", "start: true and false are not allowed"),
        ("m.jsonl", '{"path": "bad.mp4", "start": [1]}', "bad.mp4", "start: Input should be a valid number"),
        ("m.jsonl", '{"path": "bad.mp4", "end": 1e999}', "bad.mp4", "end: Input should be a finite number"),
        ("m.jsonl", '{"path": 7}', "row 2", "path: a text is expected"),
        ("m.jsonl", '{"path": "https://u:S3CR3T@host/a.mp4?q=S3CR3T", "end": 0}', "https://host/a.mp4?…", "end: "),
        ("m.jsonl", '{"path": "https://u:S3CR3T@host/a.mp4', "row 2", "it is not JSON"),
    ],
    ids=str.__len__,
)
def test_a_row_that_cannot_be_used_stands_alone(tmp_path: Path, name: str, bad: str, clip: str, message: str) -> None:
    rows = ["a.mp4", bad, "c.mp4"] if name == "m.csv" else ['{"path": "a.mp4"}', bad, '{"path": "c.mp4"}']
    text = "\n".join(["path,target,start,end"] * (name == "m.csv") + rows) + "\n"
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    first, found, last = read_manifest(tmp_path / name)
    assert (first, last) == (Entry(path="a.mp4"), Entry(path="c.mp4"))
    assert isinstance(found, BadRow) and found.shown == clip
    assert found.error.startswith(f"row 2: {message}") and len(found.error) < 400 and "S3CR3T" not in str(found)
    rows = [*rows[1:], rows[0]]  # it keeps its id elsewhere
    text = "\n".join(["path,target,start,end"] * (name == "m.csv") + rows) + "\n"
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [row.id for row in read_manifest(tmp_path / name)] == [found.id, last.id, first.id]
    assert re.fullmatch(r"row-[0-9a-f]{16}", found.id)


def test_rows_that_are_bad_in_different_ways_have_different_ids(tmp_path: Path) -> None:
    lines = ["[", "[[", "7", '"a"', "{}", '{"path": ""}', "a" * 2**21, "a" * (2**21 + 1), '{"path": "a", "end": 0}']
    (tmp_path / "m.jsonl").write_text("\n".join([*lines, lines[0]]))
    rows = list(read_manifest(tmp_path / "m.jsonl"))
    assert len(rows) == 10 and len({row.id for row in rows}) == 9 and all(isinstance(row, BadRow) for row in rows)


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path\ncaf\xe9.mp4\n")
    (tmp_path / "m.jsonl").write_bytes(b'{"path": "caf\xe9.mp4"}\n')
    for name in ("m.csv", "m.jsonl"):
        (entry,) = read_manifest(tmp_path / name)
        assert isinstance(entry, Entry) and os.fsencode(entry.path) == b"caf\xe9.mp4"
        assert entry.shown == "caf\\xe9.mp4" and entry == Entry(**entry.model_dump())


def test_a_text_in_parquet_that_is_not_utf_8_is_its_rows(tmp_path: Path) -> None:
    offsets = pa.py_buffer(struct.pack("<4i", 0, 5, 10, 15))
    paths = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a.mp4\xff.mp4c.mp4")])
    pq.write_table(pa.table({"path": paths, "more": [1, 2, 3]}), tmp_path / "m.parquet")
    first, bad, last = read_manifest(tmp_path / "m.parquet")
    assert (first, last) == (Entry(path="a.mp4"), Entry(path="c.mp4"))
    assert isinstance(bad, BadRow) and bad.error.startswith("row 2: path: it cannot be read (UnicodeDecodeError)")


@pytest.mark.parametrize("lines", [3, 3000])
def test_a_quote_that_nothing_closes_takes_no_line_without_a_row(tmp_path: Path, lines: int) -> None:
    behind = [f"{i}{'x' * 60}.mp4" for i in range(lines)]
    (tmp_path / "m.csv").write_text("\n".join(["path", "a.mp4", '"b.mp4', *behind]))
    first, bad, *others = read_manifest(tmp_path / "m.csv")
    assert first == Entry(path="a.mp4") and isinstance(bad, BadRow) and len(others) == lines
    assert bad.error.startswith("row 2: it is no row of a CSV file (")
    assert isinstance(others[0], BadRow) and "it was taken for a part of the row before it" in others[0].error
    assert len({row.id for row in others}) == lines
    assert lines == 3 or others[-1] == Entry(path=behind[-1])  # the reader gives up at its limit, and goes on behind it


def test_a_row_of_many_lines_is_not_held_whole(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path\n" + ('"' + "a" * 60 + '\n",') * 2**15)
    rows = list(read_manifest(tmp_path / "m.csv"))
    assert isinstance(rows[0], BadRow) and "has more than 1,048,576 characters" in rows[0].error
    assert len(rows) > 2**15


def test_columns_of_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    for path, message in [
        (pa.array([["a.mp4"]]), r"has 'list<.*>' in its column path; give texts or numbers"),
        (pa.array([{"path": "a.mp4"}]), "in its column path"),
        (pa.array([b"a.mp4"]), "'binary' in its column path"),
        (pa.array([1], pa.timestamp("s", "Nowhere/Bad")), "in its column path"),
    ]:
        pq.write_table(pa.Table.from_arrays([path], ["path"]), tmp_path / "m.parquet")
        with pytest.raises(SettingsError, match=message):
            list(read_manifest(tmp_path / "m.parquet"))
    twice = pa.Table.from_arrays([pa.array(["a.mp4"]), pa.array(["b.mp4"])], ["path", "path"])
    pq.write_table(twice, tmp_path / "m.parquet")
    with pytest.raises(SettingsError, match="has the column path 2 times"):
        list(read_manifest(tmp_path / "m.parquet"))
    zone = pa.table({"path": ["a.mp4"], "end": pa.array([1], pa.timestamp("s", "Nowhere/Bad"))})
    pq.write_table(zone, tmp_path / "m.parquet")
    with pytest.raises(SettingsError, match=r"'timestamp\[ms, tz=Nowhere/Bad\]' in its column end"):
        list(read_manifest(tmp_path / "m.parquet"))
    pq.write_table(pa.table({"path": ["a.mp4"], "when": zone["end"]}), tmp_path / "m.parquet")
    assert list(read_manifest(tmp_path / "m.parquet")) == [Entry(path="a.mp4")]  # others are left alone


def test_columns_of_parquet_of_any_kind_of_text_and_number(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": pa.array(["a.mp4", "b.mp4", "a.mp4"]).dictionary_encode(),
            "target": pa.array([3, None, 4], pa.uint64()),
            "start": pa.array([Decimal("0.5"), None, Decimal("1.5")]),
            "end": pa.array(["3", None, None], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    assert list(read_manifest(tmp_path / "m.parquet")) == [
        Entry(path="a.mp4", target=3, start=0.5, end=3),
        Entry(path="b.mp4"),
        Entry(path="a.mp4", target=4, start=1.5),
    ]


HELD = """
import sys
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
import pyarrow.parquet
from vidcam.corpus.manifest import read_manifest
from vidcam.errors import SettingsError
before = getrusage(RUSAGE_SELF).ru_maxrss
rows, told = 0, ""
try:
    for row in read_manifest(Path(sys.argv[1])):
        rows, told = rows + 1, getattr(row, "error", "")
except SettingsError as error:
    told = str(error)
print((getrusage(RUSAGE_SELF).ru_maxrss - before) >> 10, rows, told)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "rows", "dictionary", "expected", "message"),
    [
        (2**20, 3000, True, 3000, "path: it has 1,048,576 bytes; give a shorter text"),
        (16_000, 60_000, True, 60_000, ""),
        (2**26, 1, False, 0, "has a row group of 64 MiB, and at most 16 are read at once"),
        (16_000, 20_000, False, 0, "has a row group of 305 MiB, and at most 256 are read at once"),
    ],
)
def test_a_small_file_takes_no_great_memory(
    tmp_path: Path, text: int, rows: int, dictionary: bool, expected: int, message: str
) -> None:
    path = tmp_path / "m.parquet"
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * text]))
    column = shared if dictionary else shared.cast(pa.string())
    pq.write_table(pa.table({"path": column}), path, compression="zstd", use_dictionary=dictionary)
    assert path.stat().st_size < 100_000
    told = subprocess.run([sys.executable, "-c", HELD, path], capture_output=True, text=True, check=True).stdout
    held, given, said = told.rstrip("\n").split(" ", 2)
    assert int(given) == expected and message in said
    assert int(held) < 100  # MiB


@given(st.lists(entries, max_size=8))
def test_rows_that_differ_have_folders_that_differ_and_lie_inside(rows: list[Entry]) -> None:
    out = Path("/out")
    folders = {entry: Results(out).folder(entry) for entry in rows}
    for entry, folder in folders.items():
        assert re.fullmatch(r"[A-Za-z0-9-]+", entry.id) and len(entry.id) <= 60
        assert folder.parent.parent == out / "clips" and ".." not in folder.parts
    keys = {(type(e.target), e.target, e.path, e.start, e.end) for e in rows if "u:p@" not in e.path}
    assert len({e.id for e in rows if "u:p@" not in e.path}) == len(keys)


def test_an_id_stays_what_it_is() -> None:
    assert Entry(path="a/b c.mp4", target="x", start=1).id == "b-c-3ec9dcbfdbf8ceda"


@given(st.integers(0, 40), st.integers(1, 7))
def test_shards_part_a_manifest(tmp_path_factory: pytest.TempPathFactory, rows: int, of: int) -> None:
    path = tmp_path_factory.mktemp("m") / "m.csv"
    path.write_text("path\n" + "".join(f"{i}.mp4\n" for i in range(rows)))
    parts = [[row.shown for row in read_manifest(path, Shard(i, of))] for i in range(1, of + 1)]
    assert sorted(path for part in parts for path in part) == sorted(f"{i}.mp4" for i in range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_are_none(text: str) -> None:
    assert Shard.parse("3/4") == Shard(3, 4)
    with pytest.raises(SettingsError, match="there is no shard"):
        Shard.parse(text)


def test_where_clips_are(tmp_path: Path) -> None:
    assert clip_location(Entry(path="a.mp4"), tmp_path) == tmp_path / "a.mp4"
    assert clip_location(Entry(path="/b.mp4"), tmp_path) == Path("/b.mp4")
    assert clip_location(Entry(path="file:///b.mp4"), tmp_path) == Path("/b.mp4")
    assert clip_location(Entry(path="FILE:///b.mp4"), tmp_path) == Path("/b.mp4")
    assert clip_location(Entry(path="s3://bucket/c.mp4"), tmp_path) == "s3://bucket/c.mp4"


def test_entries_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Entry(path="a.mp4").path = "b.mp4"  # type: ignore[misc]
