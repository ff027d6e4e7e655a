"""The manifest of a corpus: its clips, and the target and stretch to explain of each."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from vidcam.errors import SettingsError, VidcamError
from vidcam.untrusted.files import open_regular
from vidcam.untrusted.text import printable, shortened
from vidcam.video.urls import is_url, redacted, unsigned

_LONGEST_LINE = 2**20
_LINE_END = "\r\n"
_LONGEST_PATH = 2**14
_LONGEST_TARGET = 1000
_LONGEST_TEXT = 4 * _LONGEST_PATH  # bytes of any value in a Parquet file
_LARGEST_SECONDS = 1e9
_BATCH = 1024  # rows of a Parquet file that are converted at once
_LARGEST_GROUP, _SMALLEST_GROUP = 2**28, 2**24  # bytes of a row group: never more, and however few rows it has
_NO_SECONDS = "it is not a number; give seconds, such as 12.5"
_COLUMNS = "columns are path, and where wanted target, start, end"


class ManifestError(VidcamError):
    """A row of a manifest that cannot be used."""


def _path(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError("a text is expected")
    if not 0 < len(given) <= _LONGEST_PATH:
        raise ValueError(f"1 to {_LONGEST_PATH:,} characters are expected")
    try:
        name = os.fsencode(given)
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name:
        raise ValueError("it holds a character that no file name can hold")
    return given


def _target(given: object) -> object:
    if isinstance(given, str):
        if len(given) > _LONGEST_TARGET:
            raise ValueError(f"at most {_LONGEST_TARGET:,} characters are expected")
        try:
            given.encode()
        except UnicodeEncodeError:
            raise ValueError("it is not valid Unicode") from None
    return _no_bool(given)


def _no_bool(given: object) -> object:
    if isinstance(given, bool):
        raise ValueError("true and false are not allowed")
    return given


_Seconds = Annotated[float | None, BeforeValidator(_no_bool)]


class Entry(BaseModel):
    """One row of a manifest.

    Attributes:
        path: a file, relative to the manifest's folder or absolute, or a URL that fsspec reads.
        target: the target to explain instead of the run's own, as for `vidcam.explain`; None for the run's own.
        start, end: seconds on the clip's clock of the stretch to explain; by default the whole clip.

    Example:
        >>> Entry(path="clips/wave.mp4", target="wave", end=2).target
        'wave'
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: Annotated[str, PlainValidator(_path)]  # pydantic's own takes no name that is not UTF-8
    target: Annotated[int | str | None, BeforeValidator(_target)] = None
    start: _Seconds = Field(default=None, ge=0, lt=_LARGEST_SECONDS, allow_inf_nan=False)
    end: _Seconds = Field(default=None, gt=0, lt=_LARGEST_SECONDS, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ends_behind_its_start(self) -> Entry:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"the stretch ends at {self.end:g} s, before it starts")
        return self

    @property
    def shown(self) -> str:
        """The path for records and messages: printable, and of a URL no user, password or query."""
        return redacted(self.path)

    @cached_property
    def id(self) -> str:
        """Name of the clip's folder: the same in every run, and different for rows that differ."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.shown).stem).strip("-")[:40]
        digest = _digest(json.dumps([unsigned(self.path), self.target, self.start, self.end]))
        return f"{stem}-{digest}" if stem else digest


@dataclass(frozen=True)
class BadRow:
    """A row of a manifest that cannot be used; the table has it with its error.

    Attributes:
        shown: the clip it names, or the number of the row, without secrets.
        error: what is wrong with it.
        id: the same in every run, for the same content.
    """

    shown: str
    error: str
    id: str


Row = Entry | BadRow


@dataclass(frozen=True)
class Shard:
    """The part of a manifest for one of several machines: every `of`-th row, from the `index`-th on."""

    index: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard of a text "i/n".

        Raises:
            SettingsError: it is not of that form, or i is not one of 1 to n.

        Example:
            >>> Shard.parse("2/3")
            Shard(index=2, of=3)
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError(
                f"there is no shard {shortened(text)}; give 1/4 to 4/4 for the first to the last of four"
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """Name of the shard in the names of its files."""
        return f"{self.index}-of-{self.of}"


def read_manifest(path: Path, shard: Shard = Shard()) -> Iterator[Row]:
    """Yield the rows of a manifest that belong to a shard, in their order, without reading all of them at once.

    Args:
        path: CSV with a header, JSON lines, or Parquet, by its suffix. Columns: path, and optionally target, start
            and end (`Entry`); others are ignored. Text is UTF-8; in CSV and JSON lines, other bytes of a path are
            kept as the bytes of its name.
        shard: the part to read.

    Raises:
        SettingsError: the file cannot be read, has no column `path`, or has one of these columns twice. A row that
            cannot be used is a `BadRow`.
    """
    kinds = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    kind = kinds.get(path.suffix.lower())
    name = printable(str(path))
    if kind is None and path.is_dir():
        raise SettingsError(
            f"{name} is a folder; give a manifest: a .csv file whose first line is path, and then the path of a clip a line"
        )
    if kind is None:
        raise SettingsError(f"manifest {name} has an unknown format; give a {', '.join(kinds)} file")
    try:
        for number, found in islice(enumerate(kind(path), 1), shard.index - 1, None, shard.of):
            yield _row(found, number)
    except _Refused as error:
        raise SettingsError(f"manifest {name} {error}") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = printable(" ".join(str(error).split()))
        raise SettingsError(
            f"manifest {name} cannot be read ({reason}); give a CSV, JSON lines or Parquet file"
        ) from error


class _RawRow(NamedTuple):
    """A row as its file holds it.

    Attributes:
        content: the whole content, or a digest of it.
        values: by column; None if it has none.
        fault: the reason why it has none.
    """

    content: str
    values: dict[str, Any] | None
    fault: str = ""


class _Refused(Exception):
    """A manifest that cannot be used; the message says why, and what to do."""


def _row(found: _RawRow, number: int) -> Row:
    values, fault = found.values, found.fault
    if values is not None:
        try:
            return Entry.model_validate({n: values[n] for n in Entry.model_fields if values.get(n) not in (None, "")})
        except ValidationError as error:
            first = error.errors()[0]
            column = str(first["loc"][0]) if first["loc"] else "stretch"
            told = _NO_SECONDS if first["type"] == "float_parsing" else first["msg"].removeprefix("Value error, ")
            fault = f"{column}: {told}; {_COLUMNS}"
    path = (values or {}).get("path")
    named = isinstance(path, str) and 0 < len(path) <= _LONGEST_PATH
    clip = redacted(str(path)) if named else f"row {number}"
    return BadRow(clip, f"row {number}: {fault}", f"row-{_digest(found.content.rstrip(_LINE_END))}")


def _check_columns(columns: list[str]) -> None:
    """Check that a header has a column `path`, none of vidcam's columns twice, and none in other letters.

    The error does not quote the header: if the file has none, it is the first row, which may hold secrets.

    Raises:
        _Refused: the header cannot be used.
    """
    if "path" not in columns:
        listed = shortened(", ".join(map(redacted, columns))) if columns else "none"
        raise _Refused(f"has no column path (it has {listed}); {_COLUMNS}")
    for name in Entry.model_fields:
        if columns.count(name) > 1:
            raise _Refused(f"has the column {name} {columns.count(name)} times; give it once")
        if name not in columns and name in (folded := [c.strip().casefold() for c in columns]):
            raise _Refused(f"has the column {columns[folded.index(name)]!r}, which would not be read; write {name}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Line(NamedTuple):
    """A line of a text file; a line that is too long is replaced by its digest."""

    text: str
    too_long: bool = False


def _lines(file: TextIOWrapper) -> Iterator[_Line]:
    while text := file.readline(_LONGEST_LINE + 1):
        if len(text) <= _LONGEST_LINE or text.endswith("\n"):
            yield _Line(text)
            continue
        digest = hashlib.sha256()
        while True:
            digest.update(text.rstrip(_LINE_END).encode("utf-8", "surrogatepass"))
            if text.endswith("\n") or not (text := file.readline(_LONGEST_LINE)):
                break
        yield _Line(digest.hexdigest(), too_long=True)


_TOO_LONG = f"the line has more than {_LONGEST_LINE:,} characters; give shorter ones"


def _opened(path: Path, newline: str | None) -> TextIOWrapper:
    return TextIOWrapper(open_regular(path), "utf-8-sig", "surrogateescape", newline)


def _csv(path: Path) -> Iterator[_RawRow]:
    with _opened(path, newline="") as file:
        source, taken = _lines(file), list[_Line]()

        def lines() -> Iterator[str]:
            characters = 0
            for line in source:
                taken.append(line)
                characters += len(line.text)
                if line.too_long or characters > _LONGEST_LINE + 1:
                    raise _LongRow
                yield line.text

        header: list[str] = []
        try:
            while not header:
                header = next(csv.reader(lines(), strict=True))
        except StopIteration:
            pass
        except _LongRow:
            raise _Refused(f"has no header: {_TOO_LONG}") from None
        _check_columns(header)
        while True:
            taken.clear()
            try:
                row = next(csv.reader(lines(), strict=True))
            except StopIteration:
                return
            except (csv.Error, _LongRow) as error:
                fault = _TOO_LONG if isinstance(error, _LongRow) else f"it is no row of a CSV file ({error})"
                yield from _each(taken, fault)
                continue
            if row:
                yield _RawRow("".join(line.text for line in taken), dict(zip(header, row, strict=False)))


class _LongRow(Exception):
    """A row of a CSV file with too many characters."""


def _each(lines: list[_Line], fault: str) -> Iterator[_RawRow]:
    """Yield each line as a row without values: lines that make no row, such as those after a quote that never ends."""
    for index, line in enumerate(lines):
        if index == 0:
            yield _RawRow(line.text, None, fault)
        elif line.text.strip():
            behind = "" if index == 1 else f"{index} lines "
            yield _RawRow(line.text, None, f"it was taken for a part of the row {behind}before it: {fault}")


def _json_lines(path: Path) -> Iterator[_RawRow]:
    with _opened(path, newline=None) as file:
        for line in _lines(file):
            if line.too_long:
                yield _RawRow(line.text, None, _TOO_LONG)
            elif line.text.strip():
                yield _from_json(line.text)


class _Object(dict[str, Any]):
    """A JSON object.

    Attributes:
        twice: a name that appears twice in it, or "".
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = ""
        if len(self) < len(pairs):
            seen: set[str] = set()
            self.twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def _from_json(text: str) -> _RawRow:
    wanted = "give an object with path, target, start, end"
    try:
        values = json.loads(text, object_pairs_hook=_Object)
    except RecursionError:
        return _RawRow(text, None, f"its values are nested too deeply; {wanted}")
    except json.JSONDecodeError as error:
        return _RawRow(text, None, f"it is not JSON ({error.msg}, column {error.colno}); {wanted}")
    except ValueError:  # a number of thousands of digits
        return _RawRow(text, None, f"it holds a number that is too long; {wanted}")
    if not isinstance(values, dict):
        return _RawRow(text, None, f"it holds a {type(values).__name__}; {wanted}")
    if isinstance(values, _Object) and values.twice:
        return _RawRow(text, None, f"it has {shortened(redacted(values.twice))} twice; {wanted}")
    return _RawRow(text, values)


def _parquet(path: Path) -> Iterator[_RawRow]:
    try:
        yield from _parquet_rows(path)
    except (_Refused, OSError):
        raise
    except Exception as error:  # pyarrow raises whatever the library below it raises, KeyError and MemoryError, too
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[_RawRow]:
    from pyarrow.parquet import ParquetFile

    with open_regular(path) as opened:
        with ParquetFile(opened) as file:
            _check_columns(file.schema_arrow.names)
            columns = [name for name in file.schema_arrow.names if name in Entry.model_fields]
            texts = [name for name in columns if _is_text(name, file.schema_arrow.field(name).type)]
            _check_size(file.metadata, columns)
        opened.seek(0)
        # A text that a million rows share stays one: it is decoded once, and not copied for each of them.
        with ParquetFile(opened, read_dictionary=texts, buffer_size=_LONGEST_LINE) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False):
                cells = [_cells(batch.column(name)) for name in columns]
                yield from (_from_parquet(dict(zip(columns, row, strict=True))) for row in zip(*cells, strict=True))


def _is_text(name: str, kind: Any) -> bool:
    """Return True if a column holds texts, False if it holds numbers.

    Raises:
        _Refused: it holds neither.
    """
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    if any(
        (types.is_integer(kind), types.is_floating(kind), types.is_boolean(kind), types.is_null(kind))
    ) or types.is_decimal(kind):
        return False
    raise _Refused(f"has {shortened(str(kind))} in its column {name}; give texts or numbers")


def _check_size(metadata: Any, columns: list[str]) -> None:
    """Check that no row group takes much memory, however few bytes it is compressed to.

    Raises:
        _Refused: one does.
    """
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        chunks = [group.column(i) for i in range(group.num_columns)]
        size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in columns)
        most = min(_LARGEST_GROUP, _SMALLEST_GROUP + group.num_rows * _LONGEST_TEXT)
        if size > most:
            raise _Refused(
                f"has a row group of {size >> 20:,} MiB, and at most {most >> 20:,} are read at once; write it with "
                "fewer rows in each row group, and with shorter texts"
            )


class _Fault(NamedTuple):
    """An invalid value of a cell.

    Attributes:
        content: a text that stands for it.
        why: the reason.
    """

    content: str
    why: str


def _cells(column: Any) -> list[Any]:
    """Return the values of a column; an invalid one is a `_Fault`."""
    from pyarrow import DictionaryArray

    if isinstance(column, DictionaryArray):
        indices, values = column.indices.to_pylist(), column.dictionary
        known = {index: None if index is None else _cell(values[index]) for index in set(indices)}
        return [known[index] for index in indices]
    return [_cell(value) for value in column]


def _cell(value: Any) -> Any:
    if hasattr(value, "as_buffer") and value.is_valid:
        held = value.as_buffer()  # no copy
        if held.size > _LONGEST_TEXT:
            return _Fault(hashlib.sha256(held).hexdigest(), f"it has {held.size:,} bytes; give a shorter text")
        try:
            return held.to_pybytes().decode()
        except UnicodeDecodeError as error:
            return _Fault(hashlib.sha256(held).hexdigest(), f"it cannot be read ({type(error).__name__})")
    try:
        return value.as_py()
    except Exception as error:  # as in `_parquet`
        return _Fault(type(error).__name__, f"it cannot be read ({type(error).__name__})")


def _from_parquet(values: dict[str, Any]) -> _RawRow:
    for name, value in values.items():
        if isinstance(value, _Fault):
            return _RawRow(repr(values), None, f"{name}: {value.why}; {_COLUMNS}")
    return _RawRow(repr(values), values)


def clip_location(entry: Entry, folder: Path) -> str | Path:
    """Return the URL of a clip, or the path of its file; relative paths begin in `folder`, the manifest's."""
    if is_url(entry.path):
        return entry.path
    return folder / re.sub("^file://", "", entry.path, flags=re.IGNORECASE)
