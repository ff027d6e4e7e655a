from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vidcam.corpus.job import failure_record
from vidcam.corpus.manifest import Entry, Shard
from vidcam.corpus.results import SCHEMA, Results
from vidcam.errors import OutputError

ENTRIES = [Entry(path=f"{i}.mp4") for i in range(5)]
GOOD = {
    "prediction": "waving",
    "probability": 0.5,
    "top": [{"label": "waving", "probability": 0.5}],
    "segments": [{"start": 0.0, "end": 1.0, "score": 0.25}],
    "warnings": ["short"],
    "timings": {"explain": 1.5},
}


def _float32() -> dict[str, str]:
    return {"computes_in": "float32"}


def _commit(results: Results, entry: Entry, record: dict[str, object]) -> None:
    with results.place(entry) as work:
        (work / "summary.json").write_text("{}")
        results.commit(entry, {"id": entry.id, "clip": entry.path, **record}, work)


def test_what_is_committed_is_done_and_stands_in_the_table_in_its_row(tmp_path: Path) -> None:
    results = Results(tmp_path)
    with results.lock():
        assert list(results.pending(ENTRIES, False)) == ENTRIES
        _commit(results, ENTRIES[3], GOOD)
        _commit(results, ENTRIES[1], failure_record(ENTRIES[1], "time", "took more than 1 s"))
        assert list(results.pending(ENTRIES, False)) == [ENTRIES[0], ENTRIES[2], ENTRIES[4]]
        assert list(results.pending([*ENTRIES, *ENTRIES], True)) == [ENTRIES[i] for i in (0, 1, 2, 4)]
        table = pq.read_table(results.write_table(ENTRIES))
    assert table.schema == SCHEMA and table.num_rows == 2
    first, second = table.to_pylist()
    assert first["id"] == ENTRIES[1].id and first["error"] == "took more than 1 s" and first["prediction"] is None
    assert {k: second[k] for k in GOOD if k != "timings"} == {k: v for k, v in GOOD.items() if k != "timings"}
    assert second["timings"] == {"fetch": None, "explain": 1.5, "save": None}
    assert {p.name for p in results.folder(ENTRIES[3]).iterdir()} == {"summary.json", "result.json"}
    assert not list(tmp_path.glob(".work*"))


def test_a_row_that_stands_twice_is_done_once(tmp_path: Path) -> None:
    results = Results(tmp_path)
    twice = [ENTRIES[0], ENTRIES[1], ENTRIES[0]]
    assert list(results.pending(twice, False)) == ENTRIES[:2]
    for entry in ENTRIES[:2]:
        _commit(results, entry, GOOD)
    assert pq.read_table(results.write_table(twice))["clip"].to_pylist() == ["0.mp4", "1.mp4", "0.mp4"]


def test_a_failure_keeps_nothing_of_what_was_begun(tmp_path: Path) -> None:
    results, entry = Results(tmp_path), ENTRIES[0]
    with results.place(entry) as work:
        (work / "fetched").mkdir()
        (work / "fetched" / "clip.mp4").touch()
        (work / "overlay.mp4").touch()
        results.commit(entry, failure_record(entry, "crash", "died"), work)
    assert [p.name for p in results.folder(entry).iterdir()] == ["result.json"]


def test_a_failure_makes_room_and_a_result_does_not(tmp_path: Path) -> None:
    results, entry = Results(tmp_path), ENTRIES[0]
    _commit(results, entry, failure_record(entry, "crash", "died"))
    _commit(results, entry, {"frames": 1})
    _commit(results, entry, {"frames": 2})  # by another shard that holds the same row
    assert results.record(entry) == {"id": entry.id, "clip": entry.path, "frames": 1}
    assert sorted(p.name for p in results.folder(entry).parent.iterdir()) == [entry.id]


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".work-1-of-1" / "x").mkdir(parents=True)
    (tmp_path / ".work-2-of-2" / "x").mkdir(parents=True)
    with Results(tmp_path).lock():
        assert not (tmp_path / ".work-1-of-1").exists()
    assert (tmp_path / ".work-2-of-2").exists()  # another machine may be at work in it


def test_one_run_at_a_time(tmp_path: Path) -> None:
    refused = []

    def another() -> None:
        try:
            with Results(tmp_path).lock():
                pass
        except OutputError as error:
            refused.append(str(error))

    with Results(tmp_path).lock():
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        with Results(tmp_path, Shard(2, 2)).lock():
            pass
    assert len(refused) == 1 and "in use by another run" in refused[0]
    another()
    assert len(refused) == 1


def test_other_settings_are_refused_unless_told(tmp_path: Path) -> None:
    results = Results(tmp_path)
    with results.lock():
        assert results.adopt_settings({"stride": 8}, lambda: {"computes_in": "bfloat16"}, overwrite=False) == {
            "stride": 8,
            "computes_in": "bfloat16",
        }
        _commit(results, ENTRIES[0], GOOD)
        results.write_table(ENTRIES)
        again = results.adopt_settings({"stride": 8}, lambda: {"computes_in": "float32"}, overwrite=True)
        assert again["computes_in"] == "bfloat16" and results.record(ENTRIES[0])
        with pytest.raises(OutputError, match=r"other settings \(stride: 8, now 4\); pass --overwrite"):
            results.adopt_settings({"stride": 4}, dict, overwrite=False)
        assert results.record(ENTRIES[0])
        other = Results(tmp_path, Shard(1, 2))
        with other.lock(), pytest.raises(OutputError, match="in use by another run"):
            results.adopt_settings({"stride": 4}, dict, overwrite=True)
        assert results.adopt_settings({"stride": 4}, _float32, overwrite=True) == {"stride": 4, **_float32()}
        assert results.record(ENTRIES[0]) is None and not (tmp_path / "results.parquet").exists()


def test_other_versions_are_refused_or_mark_their_rows(tmp_path: Path) -> None:
    old, new = {"versions": {"vidcam": "0.1.0"}}, {"versions": {"vidcam": "0.2.0"}}
    results = Results(tmp_path)
    results.adopt_settings({}, _float32, overwrite=False, made_by=old)
    _commit(results, ENTRIES[0], GOOD)
    with pytest.raises(
        OutputError, match=r"versions or weights \(vidcam: 0\.1\.0, now 0\.2\.0\); pass --accept-changes"
    ):
        results.adopt_settings({}, _float32, overwrite=False, made_by=new)
    assert results.adopt_settings({}, _float32, overwrite=False, made_by=new, accept_changes=True) == {
        **old,
        **_float32(),
    }
    _commit(results, ENTRIES[1], GOOD)
    _commit(results, ENTRIES[2], failure_record(ENTRIES[2], "time", "took more than 1 s"))
    marked = pq.read_table(results.write_table(ENTRIES))["changes"].to_pylist()
    assert marked == [None, *["vidcam: 0.1.0, now 0.2.0"] * 2]
    assert results.adopt_settings({}, _float32, overwrite=True, made_by=new) == {**new, **_float32()}
    assert results.record(ENTRIES[0]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[1]",
        "{}",
        "\\xff",
        "[" * 100_000,
        *(json.dumps({"computes_in": value}) for value in (None, [1], "load", "float99", "x" * 100_000)),
        *(json.dumps({"computes_in": "float32", "versions": value}) for value in (7, [1, 2], "x", None)),
    ],
    ids=lambda text: text[:30],
)
def test_settings_that_are_none_are_told_and_can_be_replaced(tmp_path: Path, text: str) -> None:
    results, made_by = Results(tmp_path), {"versions": {"vidcam": "1"}}
    _commit(results, ENTRIES[0], GOOD)
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(OutputError, match=r"cannot be read .*; pass --overwrite to start anew") as raised:
        results.adopt_settings({}, _float32, overwrite=False, made_by=made_by, accept_changes=True)
    assert len(str(raised.value)) < 1500
    assert results.adopt_settings({}, _float32, overwrite=True, made_by=made_by) == {**_float32(), **made_by}
    assert results.record(ENTRIES[0]) is None


def test_settings_of_any_length_are_told_in_a_line(tmp_path: Path) -> None:
    there = {"computes_in": "float32", "model": "x" * 100_000, "versions": {"a\x1b" * 9: "\x1b[31m" * 99}}
    results, made_by = Results(tmp_path), {"versions": {"vidcam": "1"}}
    for settings in ({"model": "r2plus1d_18"}, {}):
        (tmp_path / "settings.json").write_text(json.dumps(there))
        with pytest.raises(OutputError) as raised:
            results.adopt_settings(settings, _float32, overwrite=False, made_by=made_by)
        assert len(str(raised.value)) < 1500 and "\x1b" not in str(raised.value)


def test_what_cannot_be_written_down_is_made_printable(tmp_path: Path) -> None:
    results = Results(tmp_path)
    _commit(results, ENTRIES[0], {**GOOD, "prediction": "caf\udce9 \ud800", "warnings": ["\udcff"]})
    with pytest.raises(ValueError, match="does not fit the table"):
        _commit(results, ENTRIES[1], {**GOOD, "frames": 2**70})
    (row,) = pq.read_table(results.write_table(ENTRIES)).to_pylist()
    assert row["prediction"] == "caf\\xe9 \\ud800" and row["warnings"] == ["\\xff"]


@pytest.mark.parametrize("damage", ["null", "[]", "{}", "5", '"x"', "{", "", '{"id": "other"}', "[" * 100_000])
def test_a_record_that_is_none_of_the_clip_is_told(tmp_path: Path, damage: str) -> None:
    results = Results(tmp_path)
    _commit(results, ENTRIES[0], GOOD)
    (results.folder(ENTRIES[0]) / "result.json").write_text(damage)
    for act in (results.record, lambda entry: list(results.pending([entry], True)), lambda entry: _table(results)):
        with pytest.raises(OutputError, match=r"result\.json cannot be read .*; delete it, and run again"):
            act(ENTRIES[0])


@pytest.mark.parametrize(
    "damage",
    [{"error": [1]}, {"clip": 3}, {"frames": 2**70}, {"probability": "x"}, {"top": 7}, {"timings": [1]}, {"start": {}}],
    ids=str,
)
def test_a_record_that_does_not_fit_the_table_is_told(tmp_path: Path, damage: dict[str, object]) -> None:
    results = Results(tmp_path)
    for entry in ENTRIES[:2]:
        _commit(results, entry, GOOD)
    path = results.folder(ENTRIES[1]) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(OutputError, match=rf"{ENTRIES[1].id}/result\.json cannot be read .*; delete it, and run again"):
        _table(results)


def _table(results: Results) -> Path:
    return results.write_table(ENTRIES)


def test_shards_have_tables_of_their_own_and_then_one_of_all(tmp_path: Path) -> None:
    for index in (1, 2):
        results = Results(tmp_path, Shard(index, 2))
        for entry in ENTRIES[index - 1 :: 2]:
            _commit(results, entry, GOOD)
        assert results.write_table(ENTRIES[index - 1 :: 2]).name == f"results-{index}-of-2.parquet"
    whole = Results(tmp_path)
    assert not list(whole.pending(ENTRIES, False))
    assert pq.read_table(whole.write_table(ENTRIES))["id"].to_pylist() == [e.id for e in ENTRIES]


def test_a_damaged_result_is_told(tmp_path: Path) -> None:
    results = Results(tmp_path)
    _commit(results, ENTRIES[0], GOOD)
    (results.folder(ENTRIES[0]) / "result.json").write_text("{")
    with pytest.raises(OutputError, match="delete it, and run again"):
        results.write_table(ENTRIES)
    assert not list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob(".*.part"))


def test_a_folder_that_may_not_be_written(tmp_path: Path, small_disk: Callable[[str, str], Path]) -> None:
    with pytest.raises(OutputError, match="cannot be written"), Results(small_disk("fixed", "ro") / "out").lock():
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), Results(tmp_path / "file").lock():
        pass


def test_where_the_disk_ends_nothing_half_done_has_a_name(small_disk: Callable[[str, str], Path]) -> None:
    results = Results(small_disk("small", "size=200k"))
    done = 0
    with pytest.raises(OutputError, match="is the disk full"), results.lock():
        for entry in (Entry(path=f"{i}") for i in range(100)):
            with results.place(entry) as work:
                results.commit(entry, {"id": entry.id, "text": "x" * 5000}, work)
            done += 1
    assert done > 5
    stored = list(results.out.glob("clips/*/*/result.json"))
    assert len(stored) == done and all(json.loads(p.read_text())["id"] == p.parent.name for p in stored)
    assert not list(results.out.glob(".work*"))
