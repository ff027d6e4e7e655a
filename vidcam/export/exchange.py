"""Files of segments and tubes for other people's annotation tools, by the tool's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidcam.errors import one_of
from vidcam.export.annotations import write_subtitles
from vidcam.export.cvat import write_cvat
from vidcam.export.elan import write_elan
from vidcam.export.fiftyone import write_fiftyone
from vidcam.export.label_studio import write_label_studio_segments, write_label_studio_tubes
from vidcam.results.explanation import Explanation
from vidcam.results.localization import Localization

if TYPE_CHECKING:
    from vidcam.temporal.tubes import Tube  # with SciPy

SEGMENTS: Mapping[str, tuple[str, Callable[[Localization, Path], None]]] = {
    "elan": ("segments.eaf", write_elan),
    "fiftyone": ("segments.fiftyone.json", write_fiftyone),
    "label-studio": ("segments.label-studio.json", write_label_studio_segments),
    "srt": ("segments.srt", lambda found, path: write_subtitles(found.segments, path)),
}
"""Tool → name of the file, and the function that writes it."""

TUBES: Mapping[str, tuple[str, Callable[[Explanation, Sequence[Tube], Path], None]]] = {
    "cvat": ("tubes.cvat.xml", write_cvat),
    "label-studio": ("tubes.label-studio.json", write_label_studio_tubes),
}
"""Tool → name of the file, and the function that writes it."""


def tools_named(names: str | None, known: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tools in a list with commas, each once; none for None.

    Args:
        names: such as "elan,srt".
        known: the possible tools: `SEGMENTS` or `TUBES`.

    Raises:
        SettingsError: there is no such tool.

    Example:
        >>> tools_named("elan, srt", SEGMENTS)
        ('elan', 'srt')
    """
    given = () if names is None else dict.fromkeys(name.strip() for name in names.split(","))
    return tuple(one_of(name, tuple(known), "tool to export for") for name in given)


def files_of(tools: Sequence[str], known: Mapping[str, tuple[str, Any]], directory: Path) -> list[Path]:
    """Return the paths of the files for these tools in a directory; Label Studio's interface is a second one.

    Raises:
        SettingsError: there is no such tool.
    """
    paths = [directory / known[one_of(tool, tuple(known), "tool to export for")][0] for tool in tools]
    return [*paths, *(path.with_suffix(".xml") for tool, path in zip(tools, paths) if tool == "label-studio")]
