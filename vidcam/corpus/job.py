"""The job of a run, which every worker gets, and the records of clips that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vidcam.corpus.limits import Limits
from vidcam.corpus.manifest import BadRow, Entry, Row
from vidcam.recipe import ExplainConfig
from vidcam.video.urls import is_url, redacted, without_secrets

_LONGEST = 4000  # characters of a message

Record = dict[str, Any]
"""The record of a clip: a row of the table, see `vidcam.corpus.results.SCHEMA`."""


class Job(BaseModel):
    """The job of a run, which every worker gets.

    Attributes:
        config: settings of the explanation; paths in it are absolute.
        dtype: the trunk's dtype, the same on every machine.
        limits: of one clip.
        films: True to draw a film of each clip.
        folder: folder of the manifest; its relative paths begin there.
        directory: directory from which a factory of a network is imported.
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


def failure_record(row: Row, kind: str, message: str, timings: dict[str, float] | None = None) -> Record:
    """Return the record of a row that could not be explained; the message is stored without secrets of URLs.

    Args:
        row: of the manifest.
        kind: name of the error's class, or of the limit.
        message: the error.
        timings: seconds by stage.
    """
    text = without_secrets(message) if isinstance(row, BadRow) else message
    if isinstance(row, Entry):
        if isinstance(row.target, str) and is_url(row.target):
            text = without_secrets(text, row.target)
        text = without_secrets(text, row.path)
    return {
        **manifest_columns(row),
        "error": text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…",
        "error_kind": kind,
        "timings": timings or {},
    }


def manifest_columns(row: Row) -> Record:
    """Return the columns of a record that come from the manifest."""
    if isinstance(row, BadRow):
        return {"id": row.id, "clip": row.shown, "target": None, "start": None, "end": None}
    return {"id": row.id, "clip": row.shown, "target": _target(row), "start": row.start, "end": row.end}


def _target(row: Entry) -> str | None:
    """Return a row's target without secrets of URLs: it may hold the value of another column."""
    if row.target is None:
        return None
    text = str(row.target)
    return redacted(text) if is_url(text) else without_secrets(text)
