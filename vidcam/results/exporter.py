"""The exporter: results are saved and shown by it, and import nothing of it.

`vidcam` provides it: results are data, and what writes films, pages and tables of them lies above them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Exporter(Protocol):
    """Writes results for people and programs; `vidcam.export.results` is one."""

    def save(self, result: Any, directory: Path, *, overwrite: bool) -> Any:
        """Write the files of a result into a directory, all or none, and return their names."""
        ...

    def notebook_html(self, result: Any) -> str:
        """Return the page of a result as HTML for a notebook."""
        ...


provider: Callable[[], Exporter] | None = None
"""Returns the exporter; imports it when it is first needed."""


def exporter() -> Exporter:
    """Return the exporter that was provided."""
    assert provider is not None  # by vidcam/__init__.py
    return provider()
