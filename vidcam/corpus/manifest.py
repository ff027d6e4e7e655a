"""The manifest of a corpus: which clips, and what of each is explained."""

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

from vidcam.corpus.urls import is_url, shown, unsigned
from vidcam.errors import SettingsError, VidcamError
from vidcam.text import printable, shortened
from vidcam.untrusted import open_regular

_LONGEST_LINE = 2**20
_LINE_END = "\r\n"
_LONGEST_PATH = 2**14
_LONGEST_TARGET = 1000
_COLUMNS = "columns are path, and where wanted target, start, end"


class ManifestError(VidcamError):
    """A row of a manifest cannot be used."""


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
        raise ValueError("it holds what no name can hold")
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
        raise ValueError("true and false are no value of it")
    return given


_Seconds = Annotated[float | None, BeforeValidator(_no_bool)]


class Entry(BaseModel):
    """One row of a manifest.

    Attributes:
        path: a file, relative to the manifest's folder or absolute, or a URL that fsspec reads.
        target: what is explained, in place of what the run says; as for `vidcam.explain`.
        start, end: seconds on the clip's clock, of the stretch that is explained; by default all of it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: Annotated[str, PlainValidator(_path)]  # pydantic's own takes no name that is not UTF-8
    target: Annotated[int | str | None, BeforeValidator(_target)] = None
    start: _Seconds = Field(default=None, ge=0, allow_inf_nan=False)
    end: _Seconds = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ends_behind_its_start(self) -> Entry:
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"the stretch ends at {self.end:g} s, before it starts")
        return self

    @property
    def shown(self) -> str:
        """The path as it may be written down: printable, and a URL without what gives access to it."""
        return shown(self.path)

    @cached_property
    def id(self) -> str:
        """A name for the clip's folder, the same in every run: no two rows that differ share it, whatever they hold."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.shown).stem).strip("-")[:40]
        digest = _digest(json.dumps([unsigned(self.path), self.target, self.start, self.end]))
        return f"{stem}-{digest}" if stem else digest


@dataclass(frozen=True)
class BadRow:
    """A row of a manifest that cannot be used. It stands in the table with its reason.

    Attributes:
        shown: the clip it names, or which row it is, as it may be written down.
        error: what is wrong with it.
        id: the same in every run, for the same content.
    """

    shown: str
    error: str
    id: str


Row = Entry | BadRow


@dataclass(frozen=True)
class Shard:
    """The part of a manifest that one of several machines takes: every `of`-th row, from the `index`-th on."""

    index: int = 1
    of: int = 1

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """From "i/n".

        Raises:
            SettingsError: it is not of that form, or i is not one of 1 to n.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError(
                f"there is no shard {shortened(text)}; give 1/4 to 4/4 for the first to the last of four"
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """For files that belong to this part."""
        return f"{self.index}-of-{self.of}"


def read_manifest(path: Path, shard: Shard = Shard()) -> Iterator[Row]:
    """The rows of a manifest that belong to a shard, in their order and never all at once.

    Args:
        path: CSV with a header, JSON lines, or Parquet, by its suffix. Columns: path, and where wanted target, start
            and end (`Entry`); others are left alone. Text is UTF-8; in CSV and JSON lines, other bytes of a path are
            kept as the bytes of its name.
        shard: which part.

    Raises:
        SettingsError: it cannot be read as a whole, or has no column `path`. A row that cannot be used is a `BadRow`.
    """
    kinds = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    kind = kinds.get(path.suffix.lower())
    name = printable(str(path))
    if kind is None:
        raise SettingsError(f"manifest {name} is of no known kind; give a {', '.join(kinds)} file")
    try:
        for number, found in islice(enumerate(kind(path), 1), shard.index - 1, None, shard.of):
            yield _row(found, number)
    except _NoPath as error:
        raise SettingsError(f"manifest {name} has no column path (it has {error}); {_COLUMNS}") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = printable(" ".join(str(error).split()))
        raise SettingsError(
            f"manifest {name} cannot be read ({reason}); give a CSV, JSON lines or Parquet file"
        ) from error


class _Found(NamedTuple):
    """A row as its file holds it.

    Attributes:
        content: all of it, or what stands for it.
        values: by column; None where it has none.
        fault: why it has none.
    """

    content: str
    values: dict[str, Any] | None
    fault: str = ""


class _NoPath(Exception):
    """The manifest has no column `path`; the message lists those that it has."""


def _row(found: _Found, number: int) -> Row:
    values, fault = found.values, found.fault
    if values is not None:
        try:
            return Entry.model_validate({n: values[n] for n in Entry.model_fields if values.get(n) not in (None, "")})
        except ValidationError as error:
            first = error.errors()[0]
            column = str(first["loc"][0]) if first["loc"] else "stretch"
            fault = f"{column}: {first['msg'].removeprefix('Value error, ')}; {_COLUMNS}"
    path = (values or {}).get("path")
    named = isinstance(path, str) and 0 < len(path) <= _LONGEST_PATH
    clip = shown(str(path)) if named else f"row {number}"
    return BadRow(clip, f"row {number}: {fault}", f"row-{_digest(found.content.rstrip(_LINE_END))}")


def _listed(columns: list[str]) -> str:
    """Columns in a message: where a header is missing, they are the first row, with all that may be secret in it."""
    return shortened(", ".join(map(shown, columns))) if columns else "none"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Line(NamedTuple):
    """A line of a text file; of one that is too long a digest."""

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


def _csv(path: Path) -> Iterator[_Found]:
    with _opened(path, newline="") as file:
        taken: list[_Line] = []

        def lines() -> Iterator[str]:
            for line in _lines(file):
                taken.append(line)
                yield "" if line.too_long else line.text

        rows = csv.reader(lines())
        header = next((row for row in rows if row), [])
        if "path" not in header:
            raise _NoPath(_listed(header))
        while True:
            taken.clear()
            fault, row = "", []
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:  # the reader goes on with the next line
                fault = f"it is no row of a CSV file ({error})"
            if any(line.too_long for line in taken):
                fault = _TOO_LONG
            if row or fault:
                content = "".join(line.text for line in taken)
                yield _Found(content, None if fault else dict(zip(header, row, strict=False)), fault)


def _json_lines(path: Path) -> Iterator[_Found]:
    with _opened(path, newline=None) as file:
        for line in _lines(file):
            if line.too_long:
                yield _Found(line.text, None, _TOO_LONG)
            elif line.text.strip():
                yield _from_json(line.text)


def _from_json(text: str) -> _Found:
    wanted = "give an object with path, target, start, end"
    try:
        values = json.loads(text)
    except RecursionError:
        return _Found(text, None, f"its values are nested too deeply; {wanted}")
    except json.JSONDecodeError as error:
        return _Found(text, None, f"it is not JSON ({error.msg}, column {error.colno}); {wanted}")
    except ValueError:  # a number of thousands of digits
        return _Found(text, None, f"it holds a number that is too long; {wanted}")
    if not isinstance(values, dict):
        return _Found(text, None, f"it holds a {type(values).__name__}; {wanted}")
    return _Found(text, values)


def _parquet(path: Path) -> Iterator[_Found]:
    from pyarrow.parquet import ParquetFile

    with open_regular(path) as opened, ParquetFile(opened) as file:
        columns = [name for name in file.schema_arrow.names if name in Entry.model_fields]
        if "path" not in columns:
            raise _NoPath(_listed(file.schema_arrow.names))
        before = 0
        for batch in file.iter_batches(columns=columns):
            try:
                yield from (_Found(repr(values), values) for values in batch.to_pylist())
            except (ValueError, TypeError, OverflowError):  # in one of its rows, a text that is not UTF-8, say
                yield from (_from_parquet(batch.slice(i, 1), before + i + 1) for i in range(batch.num_rows))
            before += batch.num_rows


def _from_parquet(row: Any, number: int) -> _Found:
    try:
        (values,) = row.to_pylist()
    except (ValueError, TypeError, OverflowError) as error:
        return _Found(f"Parquet row {number}", None, f"it cannot be read ({type(error).__name__}); {_COLUMNS}")
    return _Found(repr(values), values)


def located(entry: Entry, folder: Path) -> str | Path:
    """Where a clip is: a URL, or a file, of which relative ones lie in a folder, the manifest's."""
    if is_url(entry.path):
        return entry.path
    return folder / re.sub("^file://", "", entry.path, flags=re.IGNORECASE)
