"""Commands for many clips."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from vidcam.cli.options import (
    DENSE,
    DTYPE,
    LABELS,
    MODEL,
    WEIGHTS,
    ConfigFile,
    Json,
    Stride,
    TrustConfig,
    plain,
    print_json,
    progress_bar,
    stdout,
    tell,
)
from vidcam.errors import one_of

commands = typer.Typer(help="Many clips.", no_args_is_help=True)


@commands.command("run")
def corpus_run(
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV, JSON lines or Parquet: path (or URL), and where wanted target, start, end."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the results: a folder for each clip, and a table of all.")],
    model: Annotated[str | None, MODEL] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    labels: Annotated[str | None, LABELS] = None,
    target: Annotated[str | None, typer.Option(help="Of rows without one: top, a label, an index, or 'A - B'.")] = None,
    layer: Annotated[str | None, typer.Option(help="auto, or names from `vidcam layers MODEL`, fused.")] = None,
    method: Annotated[str | None, typer.Option(help="A name from `vidcam methods`.")] = None,
    stride: Stride = None,
    dtype: Annotated[str | None, DTYPE] = None,
    dense: Annotated[bool | None, DENSE] = None,
    config: ConfigFile = None,
    trust_config: TrustConfig = False,
    films: Annotated[bool, typer.Option("--films", help="Draw each clip's overlay film and curve, too.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray (needs vidcam[ray]).")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster. [default: Ray on this machine]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips at once. [default: one for each GPU, or for each core]")
    ] = None,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts of the manifest.")] = "1/1",
    max_seconds: Annotated[float, typer.Option(min=1, help="On the clock, that a clip may take.")] = 1800,
    max_memory: Annotated[int, typer.Option(min=64, help="MiB a worker may hold.")] = 8192,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of a picture.")] = 2**26,
    max_duration: Annotated[float, typer.Option(min=0.1, help="Seconds a clip may last.")] = 900,
    max_size: Annotated[int, typer.Option(min=1, help="MiB that are fetched of a URL.")] = 4096,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do clips that failed again.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew where the results are of other settings.")
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Go on where versions or weights have changed, and mark the new rows."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Explain every clip of a manifest, exactly once. If interrupted, run the same command again to resume.

    Exit code 0: every row is explained. 1: the run finished, and some rows failed. 2: it could not run. 130: interrupted.
    """
    from vidcam.corpus import engines
    from vidcam.corpus.job import Limits
    from vidcam.corpus.manifest import Shard
    from vidcam.corpus.run import run_corpus
    from vidcam.recipe import read_config

    flags: dict[str, str | int | bool | None] = {
        "model": model,
        "weights": weights,
        "labels": labels,
        "target": target,
        "layer": layer,
        "method": method,
        "stride": stride,
        "dtype": dtype,
        "dense": dense,
    }
    settings = read_config(config, flags, trusted=trust_config)
    part = Shard.parsed(shard)
    one_of(engine, ("local", "ray"), "engine")
    limits = Limits(seconds=max_seconds, memory=max_memory, pixels=max_pixels, duration=max_duration, size=max_size)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send; it ends like Ctrl-C
    with progress_bar(manifest.name) as progress:
        tally = run_corpus(
            manifest,
            out,
            settings,
            limits=limits,
            engine=engines.ray(address, workers) if engine == "ray" else engines.local(workers),
            shard=part,
            films=films,
            retry_failed=retry_failed,
            overwrite=overwrite,
            accept_changes=accept_changes,
            progress=progress,
        )
    if tally.failed:
        tell([f"{tally.failed} of {_counted(tally.rows, 'row')} failed; the first: {tally.first_error}"])
    if as_json:
        print_json({**vars(tally), "table": str(tally.table)})
    else:
        rows, clips = _counted(tally.rows, "row"), _counted(tally.done, "clip")
        stdout.print(f"{rows}: {tally.explained} explained, {tally.failed} failed; {clips} done in this run")
        stdout.print(f"  table    {plain(tally.table)}")
    if tally.failed:
        raise typer.Exit(1)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
