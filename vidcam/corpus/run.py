"""Explaining a corpus: the clips of a manifest, each exactly once, whatever happens on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow.parquet as pq

from vidcam.corpus.engines import Engine, local, probed
from vidcam.corpus.job import Job, failed
from vidcam.corpus.limits import Limits
from vidcam.corpus.manifest import BadRow, Entry, ManifestError, Row, Shard, read_manifest
from vidcam.corpus.results import Results
from vidcam.corpus.worker import Worker
from vidcam.errors import ModelError, SettingsError
from vidcam.recipe import ExplainConfig
from vidcam.untrusted.files import open_regular
from vidcam.untrusted.text import printable

_PIECE = 2**20  # bytes of a file that are read at once


@dataclass(frozen=True)
class Tally:
    """What became of a manifest's rows.

    Attributes:
        table: the table of all rows.
        rows: of the manifest, or of the shard; each is either explained or failed.
        explained: rows that have an explanation.
        failed: rows that have none, but a reason.
        done: clips that were worked on in this run; the others had been before.
        first_error: of the first row that failed.
    """

    table: Path
    rows: int
    explained: int
    failed: int
    done: int
    first_error: str = ""


def run_corpus(
    manifest: Path,
    out: Path,
    config: ExplainConfig = ExplainConfig(),
    *,
    limits: Limits = Limits(),
    engine: Engine | None = None,
    shard: Shard = Shard(),
    films: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    accept_changes: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Tally:
    """Explain every clip of a manifest into a folder of its own, and write a table of all.

    A run that was ended, by whatever, goes on where it was when it is started again. A row that fails, of whatever is
    in it, leaves its reason and does not stop the others.

    Args:
        manifest: CSV, JSON lines or Parquet, see `read_manifest`.
        out: directory of the results, see `Results`; machines that share a run share it.
        config: what is explained, as for one clip; a row's own target goes before its target.
        limits: of each clip.
        engine: where it is worked on; by default in processes of this machine.
        shard: which part of the manifest.
        films: draw an overlay film and the curve of each clip, too.
        retry_failed: do those clips again that failed.
        overwrite: start anew where the directory holds results of other settings, versions or weights.
        accept_changes: go on where it holds results of other versions or weights; the new rows say what differs.
        progress: told how many clips are done, of how many.

    Raises:
        VidcamError: the manifest cannot be read or has no valid row, a setting is wrong, the network cannot be had, the
            directory holds results of other settings or is in use, or cannot be written. What was done stays.
    """
    rows = _checked(manifest, shard)
    results = Results(out.absolute(), shard)
    config = config.model_copy(update=_files(config))
    job = Job(config=config, limits=limits, films=films, folder=manifest.absolute().parent, directory=Path.cwd())
    settings = _settings(config, films)
    with results.claimed():
        with closing(Worker(job.model_copy(update={"dtype": "auto"}), Event())) as trial:
            made_by = trial.tried()

            def decide() -> dict[str, str]:
                if config.dtype != "auto":
                    return {"computes_in": config.dtype}
                return {"computes_in": probed(trial, _entries(read_manifest(manifest)), results)}

            settled = results.settled(
                settings,
                decide,
                overwrite=overwrite,
                made_by=made_by,
                accept_changes=accept_changes,
            )
        job = job.model_copy(update={"dtype": settled["computes_in"], "made_by": made_by})

        def pending() -> Iterator[Row]:
            return results.pending(read_manifest(manifest, shard), retry_failed)

        waiting, done = 0, 0
        for row in pending():
            if isinstance(row, BadRow):
                with results.place(row) as work:
                    results.commit(row, failed(row, ManifestError.__name__, row.error), work)
                done += 1
            else:
                waiting += 1
        before = rows - waiting
        progress(before, rows)
        with closing((engine or local())(job, results, _entries(pending()))) as records:
            for finished, _ in enumerate(records, 1):
                done += 1
                progress(before + finished, rows)
        table = results.write_table(read_manifest(manifest, shard))
    column = pq.read_table(table, columns=["error"])["error"]
    errors = column.drop_null()
    first = errors[0].as_py() if len(errors) else ""
    return Tally(table, len(column), len(column) - len(errors), len(errors), done, first)


def _checked(manifest: Path, shard: Shard) -> int:
    """How many rows of a manifest belong to a shard, once it is known that they can be read."""
    rows, first_bad, valid, number = 0, "", False, -1
    for number, row in enumerate(read_manifest(manifest)):
        rows += number % shard.of == shard.index - 1
        valid = valid or isinstance(row, Entry)
        if isinstance(row, BadRow):
            first_bad = first_bad or row.error
    if number < 0:
        raise SettingsError(f"manifest {printable(str(manifest))} has no rows; give a row for each clip")
    if first_bad and not valid:
        raise SettingsError(f"manifest {printable(str(manifest))} has no row that can be used; {first_bad}")
    return rows


def _entries(rows: Iterable[Row]) -> Iterator[Entry]:
    return (row for row in rows if isinstance(row, Entry))


def _files(config: ExplainConfig) -> dict[str, str]:
    """The files a config names, absolute, by the names of their settings."""
    named = {} if config.weights in ("default", "none") else {"weights": config.weights}
    if config.labels is not None:
        named["labels"] = config.labels
    return {name: str(Path(file).absolute()) for name, file in named.items()}


def _settings(config: ExplainConfig, films: bool) -> dict[str, Any]:
    """What results depend on: the explanation, what is in the files it names, and whether there are films."""
    digests = {path: _digest(path) for path in _files(config).values()}
    return {**config.model_dump(mode="json"), "films": films, "sha256": digests}


def _digest(path: str) -> str:
    try:
        digest = hashlib.sha256()
        with open_regular(Path(path)) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); give a file that can") from error
