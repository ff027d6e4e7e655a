"""What a run does with each of its clips, and what is put down about one that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vidcam.config import ExplainConfig
from vidcam.corpus.manifest import Entry
from vidcam.corpus.urls import without_secrets

Record = dict[str, Any]
"""What is put down of a clip: a row of the table, see `vidcam.corpus.results.SCHEMA`."""


class Limits(BaseModel):
    """What a clip may take; what takes more is ended and recorded.

    Attributes:
        seconds: from its fetching to its outputs, on the clock.
        memory: MiB that the process which works on it holds.
        pixels: of a picture.
        duration: seconds that it lasts.
        size: MiB that are fetched of it.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float = Field(default=1800, gt=0)
    memory: int = Field(default=8192, gt=0)
    pixels: int = Field(default=2**26, gt=0)
    duration: float = Field(default=900, gt=0)
    size: int = Field(default=4096, gt=0)


class Job(BaseModel):
    """What every worker of a run is told.

    Attributes:
        config: the explanation; paths in it are absolute.
        dtype: what the trunk computes in, on every machine.
        limits: of a clip.
        films: whether a film of each clip is drawn.
        folder: the manifest's, in which relative paths begin.
        directory: where a factory is looked for.
    """

    model_config = ConfigDict(frozen=True)

    config: ExplainConfig
    dtype: str = "float32"
    limits: Limits = Limits()
    films: bool = False
    folder: Path
    directory: Path


def failed(entry: Entry, kind: str, message: str, timings: dict[str, float] | None = None) -> Record:
    """The record of a clip that could not be explained."""
    return {
        **of_manifest(entry),
        "error": without_secrets(message, entry.path),
        "error_kind": kind,
        "timings": timings or {},
    }


def of_manifest(entry: Entry) -> Record:
    """What of a record is known before its clip is looked at."""
    target = None if entry.target is None else str(entry.target)
    return {"id": entry.id, "clip": entry.shown, "target": target, "start": entry.start, "end": entry.end}
