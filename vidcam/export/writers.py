"""The writers of results: the exporter that `vidcam` provides, see `vidcam.results.exporter`."""

from __future__ import annotations

from pathlib import Path

from vidcam.export import outputs, page, timeline
from vidcam.results.explanation import Explanation
from vidcam.results.localization import Localization
from vidcam.results.outputs import LocalizationOutputs, Outputs


def save(result: Explanation | Localization, directory: Path, *, overwrite: bool) -> Outputs | LocalizationOutputs:
    """Write the files of a result into a directory, all or none; see its `save`."""
    if isinstance(result, Localization):
        return timeline.save(result, directory, overwrite=overwrite)
    return outputs.save(result, directory, overwrite=overwrite)


def notebook_html(result: Explanation | Localization) -> str:
    """Return the page of a result in a frame, as a notebook shows it."""
    return page.framed(result if isinstance(result, Localization) else [result])
