"""The exporter: results call it to be saved and shown, and import nothing of it.

`vidcam` provides it: results are data, and the code that writes films, pages and tables lies above them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes


class Exporter(Protocol):
    """A module or object that writes results; `vidcam.export.results` is one."""

    def save(self, result: Any, directory: Path, *, overwrite: bool) -> Any:
        """Write the files of a result into a directory, all or none, and return their paths.

        Raises:
            OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
            ClipError: the clip has changed, is gone, or can be read once only.
        """
        ...

    def overlay(self, explanation: Any, frame: int, pixels: np.ndarray | None) -> np.ndarray:
        """Return a frame with the heat of an explanation, (H, W, 3) uint8 RGB, given its pixels or None for the clip's.

        Raises:
            SettingsError: the pixels are no RGB picture.
            ClipError: the clip has changed, is gone, or can be read once only.
        """
        ...

    def overlays(self, explanation: Any) -> Iterator[np.ndarray]:
        """Yield all frames of the clip with the heat of an explanation, (H, W, 3) uint8 RGB.

        Raises:
            ClipError: the clip has changed, is gone, or can be read once only.
        """
        ...

    def plot(self, explanation: Any, axes: Axes | None) -> Axes:
        """Draw score and evidence of an explanation into axes, or into those of a new figure, and return them."""
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
