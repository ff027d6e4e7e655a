"""Explaining a corpus: the clips of a manifest, each exactly once, whatever happens on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from vidcam.config import ExplainConfig
from vidcam.corpus.engines import Engine, local, probed
from vidcam.corpus.job import Job, Limits
from vidcam.corpus.manifest import Shard, read_manifest
from vidcam.corpus.results import Results
from vidcam.errors import ModelError


@dataclass(frozen=True)
class Tally:
    """What became of a manifest's clips.

    Attributes:
        table: the table of all that are done.
        rows: of the manifest, or of the shard.
        done: clips that were worked on now; the others had been before.
        failed: how many of all rows have no explanation.
        first_error: of one of them.
    """

    table: Path
    rows: int
    done: int
    failed: int
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
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Tally:
    """Explain every clip of a manifest into a folder of its own, and write a table of all.

    A run that was ended, by whatever, goes on where it was when it is started again. A clip that fails leaves its
    reason and does not stop the others.

    Args:
        manifest: CSV, JSON lines or Parquet, see `read_manifest`.
        out: directory of the results, see `Results`; machines that share a run share it.
        config: what is explained, as for one clip; a row's own target goes before its target.
        limits: of each clip.
        engine: where it is worked on; by default in processes of this machine.
        shard: which part of the manifest.
        films: draw an overlay film and the curve of each clip, too.
        retry_failed: do those clips again that failed.
        overwrite: start anew where the directory holds results of other settings.
        progress: told how many clips are done, of how many.

    Raises:
        VidcamError: the manifest or a setting is wrong, the network cannot be had, the directory holds results of
            other settings or is in use, or cannot be written. What was done stays.
    """
    rows = sum(1 for _ in read_manifest(manifest, shard))
    results = Results(out.absolute(), shard)
    config = config.model_copy(update=_files(config))
    job = Job(config=config, limits=limits, films=films, folder=manifest.absolute().parent, directory=Path.cwd())
    with results.claimed():
        dtype = config.dtype

        def decide() -> dict[str, str]:
            return {"computes_in": probed(job, read_manifest(manifest)) if dtype == "auto" else dtype}

        settled = results.settled(_settings(config, films), decide, overwrite=overwrite)
        job = job.model_copy(update={"dtype": settled["computes_in"]})
        before, done = rows - sum(1 for _ in results.pending(read_manifest(manifest, shard), retry_failed)), 0
        progress(before, rows)
        pending = results.pending(read_manifest(manifest, shard), retry_failed)
        with closing((engine or local())(job, results, pending)) as records:
            for _ in records:
                done += 1
                progress(before + done, rows)
        table = results.write_table(read_manifest(manifest, shard))
    errors = pq.read_table(table, columns=["error"])["error"].drop_null()
    return Tally(table, rows, done, len(errors), errors[0].as_py() if len(errors) else "")


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
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); give a file that can") from error
