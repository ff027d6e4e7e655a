"""The run of a corpus: explains the clips of a manifest, each exactly once, and resumes after an interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from vidcam.corpus.engines import Engine, common_dtype, local
from vidcam.corpus.job import Job, failure_record
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
    """Counts of a manifest's rows after a run.

    Attributes:
        table: path of the table of all rows.
        rows: number of rows of the manifest, or of the shard; each is either explained or failed.
        explained: number of rows with an explanation.
        failed: number of rows with an error.
        done: number of clips that this run worked on; the others were done before.
        first_error: the error of the first row that failed, or "".
        warned: number of rows whose explanation has warnings.
        first_warning: the first warning of the first of these, or "".
    """

    table: Path
    rows: int
    explained: int
    failed: int
    done: int
    first_error: str = ""
    warned: int = 0
    first_warning: str = ""


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

    If interrupted, run it again with the same arguments to resume. A row that fails is recorded with its error, and the
    other rows go on.

    Args:
        manifest: CSV, JSON lines or Parquet, see `read_manifest`.
        out: directory of the results, see `Results`; machines that share a run share it.
        config: settings of the explanation, as for one clip; a row's own target takes precedence over its target.
        limits: of each clip.
        engine: runs the clips; processes of this machine by default.
        shard: the part of the manifest to run.
        films: True to also draw an overlay film and the curve of each clip.
        retry_failed: True to run clips again that failed.
        overwrite: True to delete results of other settings, versions or weights, and to begin anew.
        accept_changes: True to add to results of other versions or weights; the new rows are marked with the changes.
        progress: called with the number of clips done and the number of all.

    Returns:
        The counts of explained and failed rows, and the path of the table.

    Raises:
        SettingsError: the manifest cannot be read or has no valid row, or a setting is wrong.
        ModelError: the network or its weights cannot be loaded.
        OutputError: the directory holds results of other settings, is in use by another run, or cannot be written.
        VidcamError: a worker could not load the network. Clips that are done stay done.

    Example:
        >>> tally = run_corpus(Path("clips.csv"), Path("results"))      # doctest: +SKIP
        >>> tally.explained, tally.failed                               # doctest: +SKIP
        (10, 0)
    """
    rows = _count_rows(manifest, shard)
    results = Results(out.absolute(), shard)
    config = config.model_copy(update=_files(config))
    job = Job(config=config, limits=limits, films=films, folder=manifest.absolute().parent, directory=Path.cwd())
    settings = _settings(config, films)
    with results.lock(), closing(Worker(job.model_copy(update={"dtype": "auto"}), Event())) as first:
        made_by = first.check()

        def decide() -> dict[str, str]:
            if config.dtype != "auto":
                return {"computes_in": config.dtype}
            return {"computes_in": common_dtype(first, _entries(read_manifest(manifest)), results)}

        stored = results.adopt_settings(
            settings,
            decide,
            overwrite=overwrite,
            made_by=made_by,
            accept_changes=accept_changes,
        )
        job = job.model_copy(update={"dtype": stored["computes_in"], "made_by": made_by})

        def pending() -> Iterator[Row]:
            return results.pending(read_manifest(manifest, shard), retry_failed)

        waiting, done = 0, 0
        for row in pending():
            if isinstance(row, BadRow):
                with results.place(row) as work:
                    results.commit(row, failure_record(row, ManifestError.__name__, row.error), work)
                done += 1
            else:
                waiting += 1
        before = rows - waiting
        progress(before, rows)
        with closing((engine or local())(job, results, _entries(pending()), first)) as records:
            for finished, _ in enumerate(records, 1):
                done += 1
                progress(before + finished, rows)
        table = results.write_table(read_manifest(manifest, shard))
    columns = pq.read_table(table, columns=["error", "warnings"])
    errors, warnings = columns["error"].drop_null(), columns["warnings"]
    warned = warnings.filter(pc.greater(pc.list_value_length(warnings), 0))
    error = errors[0].as_py() if len(errors) else ""
    warning = warned[0].as_py()[0] if len(warned) else ""
    return Tally(table, len(columns), len(columns) - len(errors), len(errors), done, error, len(warned), warning)


def _count_rows(manifest: Path, shard: Shard) -> int:
    """Return the number of rows of a manifest that belong to a shard.

    Raises:
        SettingsError: the manifest cannot be read, is empty, or has no row that can be used.
    """
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
    """Return the absolute paths of the files that a config names, by setting."""
    named = {} if config.weights in ("default", "none") else {"weights": config.weights}
    if config.labels is not None:
        named["labels"] = config.labels
    return {name: str(Path(file).absolute()) for name, file in named.items()}


def _settings(config: ExplainConfig, films: bool) -> dict[str, Any]:
    """Return the settings that results depend on: the explanation's, digests of the files they name, and `films`."""
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
