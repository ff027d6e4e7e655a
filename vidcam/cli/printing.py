"""Output of commands: results on standard output, notes and progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from vidcam.video.urls import without_secrets

if TYPE_CHECKING:
    from vidcam.engine.loader import Progress

stdout = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: object) -> str:
    """Return text from outside in a form that is safe to print: no markup, control characters or passwords of URLs."""
    return escape(without_secrets(str(text)))


def print_notes(warnings: Iterable[str]) -> None:
    """Print notes on standard error."""
    for warning in warnings:
        stderr.print(f"[yellow]note:[/] {plain(warning)}")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON in ASCII."""
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)


def print_json_file(path: Path) -> None:
    """Print the value of a JSON file that vidcam wrote as one line."""
    print_json(json.loads(path.read_text(encoding="utf-8")))


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Show a progress bar on standard error if that is a terminal, and yield the function that updates it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        task = bar.add_task(plain(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
