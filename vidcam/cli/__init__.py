"""The command line: parses, calls, prints. Heavy imports happen inside the commands, so that --help is fast."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from vidcam import __version__
from vidcam.cli import corpus, explaining, listing, live, measuring, playground
from vidcam.cli.printing import plain, stderr
from vidcam.errors import VidcamError

app = typer.Typer(
    name="vidcam",
    help="Why did the network see this action, where in the picture and when?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (explaining.commands, live.commands, measuring.errors_commands, listing.commands):
    app.add_typer(commands)
for name, group in {
    "corpus": corpus.commands,
    "evaluate": measuring.commands,
    "playground": playground.commands,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; a VidcamError ends with one line on standard error and exit code 2."""
    try:
        app()
    except VidcamError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vidcam {__version__}")
        raise typer.Exit


@app.callback()
def _before_a_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    from vidcam.engine.memory import keep_freed_memory

    keep_freed_memory()


def _fail(message: str) -> NoReturn:
    stderr.print(f"[bold red]error:[/] {plain(message)}")
    sys.exit(2)
