"""The directory of a run's results: a folder for each clip, moved to its name when complete, and a table of all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from vidcam.corpus.manifest import Row, Shard
from vidcam.corpus.provenance import differences
from vidcam.errors import OutputError
from vidcam.untrusted.files import read_json
from vidcam.untrusted.text import as_json, fitted, printable, shortened

_timings = pa.struct([(name, pa.float64()) for name in ("fetch", "explain", "save")])
_top = pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))
_segments = pa.list_(pa.struct([("start", pa.float64()), ("end", pa.float64()), ("score", pa.float64())]))

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # the folder is clips/xx/ID, where xx are the last two letters of it
        ("clip", pa.string()),  # as in the manifest; URLs without what gives access
        ("target", pa.string()),  # as in the manifest
        ("start", pa.float64()),  # as in the manifest, seconds
        ("end", pa.float64()),
        ("prediction", pa.string()),  # the clip's most probable class
        ("probability", pa.float64()),
        ("explained", pa.string()),
        ("explained_probability", pa.float64()),
        ("top", _top),  # the five most probable classes
        ("segments", _segments),  # of what was explained, seconds on the clip's clock, best first
        ("frames", pa.int64()),
        ("seconds", pa.float64()),  # that were explained
        ("warnings", pa.list_(pa.string())),
        ("error", pa.string()),  # why there is no explanation
        ("error_kind", pa.string()),  # ClipError, ManifestError, TargetError, ...; time, memory, crash
        ("changes", pa.string()),  # what made the row, where it differs from what the directory was begun with
        ("timings", _timings),  # seconds
    ]
)
"""The table: a row for each row of the manifest, in its order."""

_ROWS = 10_000  # of the table in memory at once
_LARGEST = 2**24  # bytes of a JSON file of ours
_DTYPES = ("float32", "bfloat16", "float16")  # what may be computed in
_LONGEST_CHANGES = 1000  # characters


class Results:
    """A run's directory.

        settings.json              the settings that the results depend on
        clips/xx/ID/               result.json and the outputs of one clip
        results.parquet            the table; of a shard results-I-of-N.parquet

    A clip is done if its folder exists. The folder is renamed to its name once it is complete, so that a run that is
    killed leaves no incomplete folder, and the next run continues with the other clips.

    Args:
        out: the directory.
        shard: the shard whose table is written and whose unfinished work is deleted.

    Attributes:
        changes: mark of this run's rows, see `adopt_settings`; None if they need no mark.
    """

    def __init__(self, out: Path, shard: Shard = Shard()) -> None:
        self.out, self.shard = out, shard
        self.changes: str | None = None
        self._work = out / f".work-{shard.name}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one run of its shard.

        Raises:
            OutputError: it cannot be written, or another run holds it.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / f".lock-{self.shard.name}", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise OutputError(f"{self.out} is in use by another run; wait for it, or give another --out") from error
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written ({error.strerror}); give another --out") from error
        try:
            shutil.rmtree(self._work, ignore_errors=True)
            yield
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
            lock.release()

    def adopt_settings(
        self,
        settings: Mapping[str, Any],
        decide: Callable[[], Mapping[str, Any]],
        *,
        overwrite: bool,
        made_by: Mapping[str, Any] = {},
        accept_changes: bool = False,
    ) -> dict[str, Any]:
        """Return the directory's settings: the stored ones if they match, else the given ones, which are then stored.

        Args:
            settings: settings that the results depend on, ready for JSON.
            decide: returns further settings, called once for the whole directory.
            overwrite: True to delete results of other settings, versions or weights.
            made_by: the versions and weights of this run, see `vidcam.corpus.provenance`.
            accept_changes: True to add to results of other versions or weights; the new rows are marked with the
                changes.

        Raises:
            OutputError: there are results of other settings, versions or weights, or settings that cannot be read.
        """
        known = self.out / "settings.json"
        try:
            with FileLock(self.out / ".lock-settings"):
                try:
                    there = _settings_in(known) if os.path.lexists(known) else None
                except (OSError, ValueError) as error:
                    if not overwrite:
                        reason = fitted(str(error), _LONGEST_CHANGES)
                        raise OutputError(
                            f"{known} cannot be read ({reason}); pass --overwrite to start anew, or give another --out"
                        ) from error
                    self._clear()
                    there = None
                if there is not None:
                    other = [name for name in settings if there.get(name) != settings[name]]
                    changes = fitted(differences(there, made_by), _LONGEST_CHANGES) if made_by else ""
                    if not other and (accept_changes or not changes):
                        self.changes = changes or None
                        return there
                    if not overwrite:
                        self._refuse({name: (there.get(name), settings[name]) for name in other}, changes)
                    self._clear()
                decided = {**settings, **decide(), **made_by}
                _written(known, as_json(decided, indent=2) + "\n")
                return decided
        except OSError as error:
            raise OutputError(f"{self.out} cannot be used ({printable(str(error))}); give another --out") from error

    def _refuse(self, other: Mapping[str, tuple[Any, Any]], changes: str) -> NoReturn:
        if other:
            differing = "; ".join(
                f"{name}: {shortened(before)}, now {shortened(now)}" for name, (before, now) in other.items()
            )
            raise OutputError(
                f"{self.out} holds results of other settings ({differing}); "
                "pass --overwrite to start anew, or give another --out"
            )
        raise OutputError(
            f"{self.out} holds results of other versions or weights ({changes}); pass --accept-changes to go on and mark "
            "the new rows, --overwrite to start anew, or give another --out"
        )

    def _clear(self) -> None:
        with ExitStack() as held:
            for path in self.out.glob(".lock-*-of-*"):
                if path.name != f".lock-{self.shard.name}":
                    try:
                        held.enter_context(FileLock(path, timeout=0))
                    except Timeout as error:
                        raise OutputError(f"{self.out} is in use by another run; wait for it") from error
            for path in self.out.glob("results*.parquet"):
                path.unlink()
            shutil.rmtree(self.out / "clips", ignore_errors=True)
            (self.out / "settings.json").unlink()

    def folder(self, entry: Row) -> Path:
        """Return the path of the folder with the results of a row; it may not exist yet."""
        return self.out / "clips" / entry.id[-2:] / entry.id

    def record(self, entry: Row) -> dict[str, Any] | None:
        """Return the record of a row, or None if it is not done.

        Raises:
            OutputError: the record cannot be read, or is not one of the row.
        """
        path = self.folder(entry) / "result.json"
        try:
            record = read_json(path, _LARGEST)
            if not isinstance(record, dict) or record.get("id") != entry.id:
                raise ValueError("it is not of this clip")
            if not all(isinstance(record.get(name), str | None) for name in ("clip", "error", "error_kind")):
                raise ValueError("it does not fit the table")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        return record

    def pending(self, entries: Iterable[Row], retry_failed: bool) -> Iterator[Row]:
        """Yield the rows that are not done, each once; with `retry_failed` also those that failed."""
        given: set[str] = set()
        for entry in entries:
            if entry.id not in given and (
                not (self.folder(entry) / "result.json").exists()
                or (retry_failed and (self.record(entry) or {}).get("error") is not None)
            ):
                given.add(entry.id)
                yield entry

    @contextmanager
    def place(self, entry: Row) -> Iterator[Path]:
        """Yield a folder to work on a clip in, which is deleted afterwards.

        Raises:
            OutputError: the directory cannot be written.
        """
        work = self._work / f"{entry.id}-{uuid.uuid4().hex[:8]}"
        try:
            work.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written ({error.strerror}); is the disk full?") from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def commit(self, entry: Row, record: Mapping[str, Any], work: Path) -> None:
        """Make the files of a folder the results of a clip, all at once; they replace those of an earlier failure.

        Args:
            entry: the clip's row.
            record: a row of the table, see `SCHEMA`.
            work: the folder.

        Raises:
            OutputError: the directory cannot be written.
            ValueError: the record does not fit the table.
        """
        _table([dict(record)])
        final = self.folder(entry)
        try:
            if "error" in record:  # a process that was ended may have left anything
                shutil.rmtree(work)
                work.mkdir()
            marked = {**record, "changes": self.changes} if self.changes else record
            (work / "result.json").write_text(as_json(marked) + "\n", encoding="utf-8")
            for path in work.iterdir():
                _to_disk(path)
            final.parent.mkdir(parents=True, exist_ok=True)
            if (self.record(entry) or {}).get("error") is not None:
                with suppress(FileNotFoundError):
                    final.rename(work.with_name(f"{work.name}-before"))
            try:
                work.rename(final)
            except OSError:
                if self.record(entry) is None:  # else another shard, which has the same row, was first
                    raise
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written ({error.strerror}); is the disk full?") from error

    def write_table(self, entries: Iterable[Row]) -> Path:
        """Write the table of the rows that are done, from their folders, and return its path.

        Raises:
            OutputError: it cannot be written.
        """
        whole = self.shard == Shard()
        path = self.out / ("results.parquet" if whole else f"results-{self.shard.name}.parquet")
        part = path.with_name(f".{path.name}.part")
        try:
            with pq.ParquetWriter(part, SCHEMA) as writer:
                remaining = iter(entries)
                while some := list(islice(remaining, _ROWS)):
                    done = {row.id: r for row in some if (r := self.record(row)) is not None}
                    rows = [row for row in some if row.id in done]
                    try:
                        writer.write_table(_table([done[row.id] for row in rows]))
                    except ValueError:
                        self._check_each(rows, done)
                        raise
            part.replace(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error}); is the disk full?") from error
        finally:
            part.unlink(missing_ok=True)
        return path

    def _check_each(self, rows: Iterable[Row], records: Mapping[str, dict[str, Any]]) -> None:
        """Raise an OutputError that names the record which does not fit the table."""
        for row in rows:
            try:
                _table([records[row.id]])
            except ValueError as error:
                raise _unreadable(self.folder(row) / "result.json", error) from error


def _unreadable(path: Path, error: Exception) -> OutputError:
    return OutputError(f"{path} cannot be read ({fitted(str(error), 200)}); delete it, and run again")


def _settings_in(path: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: they are no settings.
    """
    there = read_json(path, _LARGEST)
    if not isinstance(there, dict):
        raise ValueError("it holds no settings")
    if there.get("computes_in") not in _DTYPES:
        raise ValueError(f"computes_in is {shortened(there.get('computes_in'))}, and none of {', '.join(_DTYPES)}")
    if not isinstance(there.get("versions", {}), dict):
        raise ValueError(f"versions are {shortened(there['versions'])}")
    return there


def _table(records: list[dict[str, Any]]) -> pa.Table:
    """Return records as rows of a table.

    Raises:
        ValueError: one of them does not fit the table.
    """
    try:
        return pa.Table.from_pylist([_printable(record) for record in records], schema=SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"it does not fit the table ({type(error).__name__})") from error


def _printable(value: Any) -> Any:
    """Return a value with every text in it made `printable`: a table holds valid UTF-8 only."""
    match value:
        case str():
            return printable(value)
        case list():
            return [_printable(each) for each in value]
        case dict():
            return {name: _printable(each) for name, each in value.items()}
    return value


def _written(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _to_disk(path: Path) -> None:
    """Flush a file's bytes to the disk before the file is renamed, so that a power failure leaves no empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
