"""What a run does with each of its clips, and what is put down about one that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vidcam.corpus.limits import Limits
from vidcam.corpus.manifest import BadRow, Entry, Row
from vidcam.recipe import ExplainConfig
from vidcam.video.urls import is_url, shown, without_secrets

_LONGEST = 4000  # characters of a message

Record = dict[str, Any]
"""What is put down of a clip: a row of the table, see `vidcam.corpus.results.SCHEMA`."""


class Job(BaseModel):
    """What every worker of a run is told.

    Attributes:
        config: the explanation; paths in it are absolute.
        dtype: what the trunk computes in, on every machine.
        limits: of a clip.
        films: whether a film of each clip is drawn.
        folder: the manifest's, in which relative paths begin.
        directory: where a factory is looked for.
        made_by: versions and weights of the run, which every worker must have; see `vidcam.corpus.provenance`.
    """

    model_config = ConfigDict(frozen=True)

    config: ExplainConfig
    dtype: str = "float32"
    limits: Limits = Limits()
    films: bool = False
    folder: Path
    directory: Path
    made_by: dict[str, Any] | None = None


def failed(row: Row, kind: str, message: str, timings: dict[str, float] | None = None) -> Record:
    """The record of a row that could not be explained."""
    text = without_secrets(message) if isinstance(row, BadRow) else message
    if isinstance(row, Entry):
        if isinstance(row.target, str) and is_url(row.target):
            text = without_secrets(text, row.target)
        text = without_secrets(text, row.path)
    return {
        **of_manifest(row),
        "error": text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…",
        "error_kind": kind,
        "timings": timings or {},
    }


def of_manifest(row: Row) -> Record:
    """What of a record is known before its clip is looked at."""
    if isinstance(row, BadRow):
        return {"id": row.id, "clip": row.shown, "target": None, "start": None, "end": None}
    return {"id": row.id, "clip": row.shown, "target": _target(row), "start": row.start, "end": row.end}


def _target(row: Entry) -> str | None:
    """A row's target as it may be written down: it may hold what belongs in another column."""
    if row.target is None:
        return None
    text = str(row.target)
    return shown(text) if is_url(text) else without_secrets(text)
