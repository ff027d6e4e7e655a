"""Commands for many clips."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from vidcam.cli.options import Json, with_config, with_fields
from vidcam.cli.printing import plain, print_json, print_notes, progress_bar, stdout
from vidcam.corpus.limits import Limits
from vidcam.errors import counted, one_of
from vidcam.recipe import ExplainConfig

commands = typer.Typer(help="Many clips.", no_args_is_help=True)


@commands.command("run")
@with_config()
@with_fields("limits", Limits, "max_")
def corpus_run(
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV, JSON lines or Parquet: path (or URL), and where wanted target, start, end."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the results: a folder for each clip, and a table of all.")],
    config: ExplainConfig,
    limits: Limits,
    films: Annotated[bool, typer.Option("--films", help="Draw each clip's overlay film and curve, too.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray (needs the extra ray).")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster.", show_default="Ray on this machine")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips at once.", show_default="one for each GPU, or for each core")
    ] = None,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts of the manifest.")] = "1/1",
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

    Writes a directory for each clip and results.parquet into --out.

    Exit code 0: every row is explained. 1: the run finished, and some rows failed. 2: it could not run. 130:
    interrupted.
    """
    from vidcam.corpus import engines
    from vidcam.corpus.manifest import Shard
    from vidcam.corpus.run import run_corpus

    part = Shard.parse(shard)
    one_of(engine, ("local", "ray"), "engine")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send; it ends like Ctrl-C
    with progress_bar(manifest.name) as progress:
        tally = run_corpus(
            manifest,
            out,
            config,
            limits=limits,
            engine=engines.ray(address, workers) if engine == "ray" else engines.local(workers),
            shard=part,
            films=films,
            retry_failed=retry_failed,
            overwrite=overwrite,
            accept_changes=accept_changes,
            progress=progress,
        )
    of = f"of {counted(tally.rows, 'row')}"
    if tally.failed:
        print_notes([f"{tally.failed} {of} failed; the first: {tally.first_error}"])
    if tally.warned:
        print_notes([f"{tally.warned} {of} have warnings; the first: {tally.first_warning}"])
    if as_json:
        print_json({**vars(tally), "table": str(tally.table)})
    else:
        rows, clips = counted(tally.rows, "row"), counted(tally.done, "clip")
        stdout.print(f"{rows}: {tally.explained} explained, {tally.failed} failed; {clips} done in this run")
        stdout.print(f"  table    {plain(tally.table)}")
    if tally.failed:
        raise typer.Exit(1)
