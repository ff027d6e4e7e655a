"""The exporter: results call it to be saved and shown, and import nothing of it.

`vidcam` provides it: results are data, and the code that writes films, pages and tables lies above them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Exporter(Protocol):
    """A module or object that writes results; `vidcam.export.results` is one."""

    def save(self, result: Any, directory: Path, *, overwrite: bool) -> Any:
        """Write the files of a result into a directory, all or none, and return their paths.

        Raises:
            OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
            ClipError: the clip has changed, is gone, or can be read once only.
        """
        ...

    def notebook_html(self, result: Any) -> str:
        """Return the page of a result as HTML for a notebook."""
        ...


provider: Callable[[], Exporter] | None = None
"""A function that imports the exporter and returns it; called on first use."""


def exporter() -> Exporter:
    """Return the exporter that was provided."""
    assert provider is not None  # by vidcam/__init__.py
    return provider()
