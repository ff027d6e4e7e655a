"""The command that evaluates explanations of networks with known flaws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcam.cli.options import Json
from vidcam.cli.printing import print_json, progress_bar, stdout
from vidcam.errors import counted

if TYPE_CHECKING:
    from rich.table import Table

    from vidcam.evaluation.flaws import FlawFigures
    from vidcam.metrics.estimate import Estimate

commands = typer.Typer()


@commands.command("flaws")
def evaluate_flaws(
    networks: Annotated[Path, typer.Option(help="Directory of the networks; those it lacks are trained into it.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the rendered clips.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips for each network.")] = 60,
    trained: Annotated[int, typer.Option(min=1, help="Networks for each flaw, trained with different seeds.")] = 1,
    method: Annotated[
        str | None,
        typer.Option(help="Names from `vidcam methods`, with commas.", show_default="all that are installed"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Test that the map shows what networks with a known flaw look at: a table of methods and flaws.

    The networks are small and are trained in a few minutes each. If interrupted, run the same command again to resume.
    """
    from vidcam.cam.input_methods import check_method, installed_methods
    from vidcam.evaluation.flaws import PASSES, flaw_figures
    from vidcam.playground.flaws import FLAWS
    from vidcam.playground.training.flawed import STEPS, flawed_model

    methods = [*installed_methods()] if method is None else [name.strip() for name in method.split(",")]
    for name in methods:
        check_method(name)
    found = []
    for name in FLAWS:
        for of in range(1, trained + 1):
            with progress_bar(f"training {name} {of}") as progress:
                model = flawed_model(name, of, networks, progress=lambda step, *_: progress(step, STEPS))
            with progress_bar(f"measuring {name} {of}") as progress:
                found.append(flaw_figures(name, model, seed, count, methods, progress))
    if as_json:
        print_json([figures.json() for figures in found])
        return
    stdout.print(_table(found, PASSES))
    for one in found:
        flaw, true = FLAWS[one.flaw], FLAWS[one.flaw].motion_share
        stdout.print(
            f"{one.network}: {flaw.summary}; class by the cause in {one.accuracy.mean:.3f} of the clips; motion share "
            f"{_written(one.motion_share, ' ')}, by construction {'that of the frozen frame' if true is None else f'{true:.3f}'}"
        )
    stdout.print(
        f"{counted(count, 'clip')} of seed {seed} for each network; 95 % bootstrap intervals; bold: {PASSES} or more of the "
        "heat on the cause"
    )


def _table(found: Sequence[FlawFigures], passes: float) -> Table:
    """Return a table with a row for each method and baseline, and a column for each network and kind of evidence."""
    from rich.table import Table

    columns = {one.network: one.on_cause for one in found}
    columns |= {f"{one.network}\n{what}": of for one in found for what, of in one.on_element.items()}
    table = Table("heat on the cause", *columns, box=None)
    for name in found[0].on_cause:
        row = [of_network.get(name) for of_network in columns.values()]
        cells = [_written(e, "\n") for e in row]
        table.add_row(name, *(f"[bold]{c}[/]" if e and e.mean >= passes else c for c, e in zip(cells, row)))
    return table


def _written(value: Estimate | None, between: str) -> str:
    return "-" if value is None else f"{value.mean:.3f}{between}({value.interval})"
