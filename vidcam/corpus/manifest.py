"""The manifest of a corpus: which clips, and what of each is explained."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidcam.corpus.urls import is_url, shown, unsigned
from vidcam.errors import SettingsError


class Entry(BaseModel):
    """One row of a manifest.

    Attributes:
        path: a file, relative to the manifest's folder or absolute, or a URL that fsspec reads.
        target: what is explained, in place of what the run says; as for `vidcam.explain`.
        start, end: seconds on the clip's clock, of the stretch that is explained; by default all of it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: str = Field(min_length=1)
    target: int | str | None = None
    start: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    end: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def model_post_init(self, _: Any) -> None:
        """Check what the types alone do not say."""
        if "\0" in self.path or any("\ud800" <= letter <= "\udfff" for letter in self.path):
            raise ValueError("the path holds what no name can hold")
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"the stretch ends at {self.end:g} s, before it starts")

    @property
    def shown(self) -> str:
        """The path as it may be written down: a URL without what gives access to it."""
        return shown(self.path)

    @cached_property
    def id(self) -> str:
        """A name for the clip's folder, the same in every run: no two rows that differ share it, whatever they hold."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.shown).stem).strip("-")[:40]
        what = json.dumps([unsigned(self.path), self.target, self.start, self.end])
        digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{stem}-{digest}" if stem else digest


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
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError(f"there is no shard {text!r}; give 1/4 to 4/4 for the first to the last of four")
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """For files that belong to this part."""
        return f"{self.index}-of-{self.of}"


def read_manifest(path: Path, shard: Shard = Shard()) -> Iterator[Entry]:
    """The rows of a manifest that belong to a shard, in their order and never all at once.

    Args:
        path: CSV with a header, JSON lines, or Parquet, by its suffix. Columns: path, and where wanted target, start
            and end (`Entry`); others are left alone.
        shard: which part.

    Raises:
        SettingsError: it cannot be read, or a row is wrong.
    """
    kinds = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise SettingsError(f"manifest {path} is of no known kind; give a {', '.join(kinds)} file")
    try:
        for number, row in islice(enumerate(kind(path), 1), shard.index - 1, None, shard.of):
            yield _entry(row, f"manifest {path}, row {number}")
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise SettingsError(
            f"manifest {path} cannot be read ({' '.join(str(error).split())}); give a CSV, JSON lines or Parquet file"
        ) from error


def _entry(row: Any, where: str) -> Entry:
    if not isinstance(row, dict):
        raise SettingsError(f"{where} holds a {type(row).__name__}; give an object with path, target, start, end")
    try:
        return Entry.model_validate({name: row[name] for name in Entry.model_fields if row.get(name) not in (None, "")})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "stretch"
        raise SettingsError(
            f"{where}: {name}: {first['msg'].removeprefix('Value error, ')}; columns are path, and where wanted target, start, end"
        ) from error


def _csv(path: Path) -> Iterator[Any]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        columns = [name for name in file.schema_arrow.names if name in Entry.model_fields]
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()


def located(entry: Entry, folder: Path) -> str | Path:
    """Where a clip is: a URL, or a file, of which relative ones lie in a folder, the manifest's."""
    if is_url(entry.path):
        return entry.path
    return folder / entry.path.removeprefix("file://")
