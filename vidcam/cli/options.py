"""What the commands share: their options, where they print, and how they tell how far they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vidcam.errors import SettingsError
from vidcam.video.urls import without_secrets

if TYPE_CHECKING:
    from vidcam.engine.loader import Progress

stdout = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

Clips = Annotated[list[Path], typer.Argument(help="Video files.", metavar="CLIP...")]
Out = Annotated[
    Path | None,
    typer.Option(help="Directory for the outputs; several clips get one each inside. [default: vidcam-out/CLIP]"),
]
OneClip = Annotated[Path, typer.Argument(help="A video file.", metavar="CLIP")]
OneOut = Annotated[Path | None, typer.Option(help="Directory for the outputs. [default: vidcam-out/CLIP]")]
MODEL = typer.Option(help="A name from `vidcam models`.")
WEIGHTS = typer.Option(help="default, none, or a .pth, .pt or .safetensors file.")
LABELS = typer.Option(help="Text file with one class label a line.")
DTYPE = typer.Option(
    help="Of the trunk: auto (what is quick here, if the map stays the same), float32, bfloat16 or float16."
)
DENSE = typer.Option(
    "--dense", help="Run the trunk once over long spans: quicker, not quite the same; the agreement is told."
)
DEVICE = typer.Option(help="auto (the GPU where there is one), cpu, cuda, cuda:1 or mps.")
Json = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each result, and nothing else.")]
TrustConfig = Annotated[bool, typer.Option("--trust-config", help="Let the file name code to run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
ModelName = Annotated[str, MODEL]
Weights = Annotated[str, WEIGHTS]
Device = Annotated[str, DEVICE]
Labels = Annotated[Path | None, LABELS]
Stride = Annotated[int | None, typer.Option(help="Source frames between windows. [default: half a window]")]
ConfigFile = Annotated[Path | None, typer.Option(help="YAML file with these settings; flags go on top.")]


def plain(text: object) -> str:
    """Make text from outside safe to print on `stdout` and `stderr`: no markup, control characters or passwords of URLs."""
    return escape(without_secrets(str(text)))


def places_of(clips: list[Path], out: Path | None) -> list[Path]:
    """One output directory per clip: `out` itself for a single one, else a folder named after each."""
    if out is not None and len(clips) == 1:
        return [out]
    names = [clip.stem for clip in clips]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingsError(f"several clips are named {twice!r} and would share a directory; explain them one by one")
    return [(out or Path("vidcam-out")) / name for name in names]


def tell(warnings: Iterable[str]) -> None:
    """Print notes on standard error."""
    for warning in warnings:
        stderr.print(f"[yellow]note:[/] {plain(warning)}")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON in ASCII."""
    print(json.dumps(value).replace("\x7f", "\\u007f"))


def print_json_file(path: Path) -> None:
    """Print what a JSON file of ours holds as one line."""
    print_json(json.loads(path.read_text(encoding="utf-8")))


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A progress bar on standard error where that is a terminal; silent elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        task = bar.add_task(plain(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
