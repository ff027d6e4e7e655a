"""Segments and tubes as predictions of Label Studio, and the labelling interface that shows them."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec B405 # written, never read
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidcam.results.explanation import Explanation
from vidcam.results.localization import Localization
from vidcam.results.result import Result
from vidcam.temporal.segments import distinct, frame_edges
from vidcam.untrusted.text import as_json, printable

if TYPE_CHECKING:
    from vidcam.temporal.tubes import Tube  # with SciPy

_ASSUMED = 24.0  # frames per second that Label Studio counts in if a clip's rate is not known


def write_label_studio_segments(found: Localization, path: Path) -> None:
    """Write the `distinct` segments as a task with predictions (`TimelineLabels`), and its interface as XML beside it.

    Args:
        found: the localization.
        path: the JSON file of the task; the interface has the same name and ends in .xml.
    """
    rate = found.frame_rate or _ASSUMED
    regions = [
        {
            "type": "timelinelabels",
            "score": s.score,
            "value": {
                "ranges": [
                    {"start": _frame(s.start, rate), "end": max(_frame(s.start, rate), _frame(s.end, rate) - 1)}
                ],
                "timelinelabels": [printable(s.label)],
            },
        }
        for s in distinct(found.segments)
    ]
    _write(found, regions, found.labels, ("TimelineLabels",), path)


def write_label_studio_tubes(explanation: Explanation, tubes: Sequence[Tube], path: Path) -> None:
    """Write tubes as a task with predictions (`VideoRectangle`), and its interface as XML beside it.

    Boxes are in percent of the frame; the last one of a tube ends it. Of several in the time of one frame of Label Studio,
    which has a constant rate, the last is taken.

    Args:
        explanation: of a clip.
        tubes: of its target.
        path: the JSON file of the task; the interface has the same name and ends in .xml.
    """
    (height, width), rate = explanation.size, explanation.frame_rate or _ASSUMED
    regions = []
    for tube in tubes:
        boxes = [
            {
                "frame": _frame(float(explanation.times[frame]), rate),
                "time": round(float(explanation.times[frame]), 6),
                "x": round(100 * float(left) / width, 4),
                "y": round(100 * float(top) / height, 4),
                "width": round(100 * float(right - left) / width, 4),
                "height": round(100 * float(bottom - top) / height, 4),
                "rotation": 0,
                "enabled": frame < tube.end - 1,
            }
            for frame, (left, top, right, bottom) in enumerate(tube.boxes, tube.start)
        ]
        sequence = [*{box["frame"]: box for box in boxes}.values()]
        regions.append(
            {
                "type": "videorectangle",
                "score": tube.score,
                "value": {
                    "framesCount": _frame(float(frame_edges(explanation.times)[-1]), rate) - 1,
                    "duration": round(float(explanation.times[-1]), 6),
                    "sequence": sequence,
                    "labels": [printable(tube.label)],
                },
            }
        )
    _write(explanation, regions, [explanation.target.label], ("VideoRectangle", "Labels"), path)


def _write(
    result: Result, regions: list[dict[str, Any]], labels: Iterable[str], kinds: Sequence[str], path: Path
) -> None:
    """Write the task, and the interface; the first kind of tag holds the regions, the last one the labels."""
    for number, region in enumerate(regions):
        region |= {"id": f"vidcam{number}", "from_name": kinds[0].lower(), "to_name": "video"}
    prediction = {"model_version": f"{result.model} {result.method}", "result": regions}
    task = {"data": {"video": printable(result.clip)}, "predictions": [prediction]}
    path.write_text(as_json([task], indent=2) + "\n", encoding="utf-8")
    view = ET.Element("View")
    for kind in kinds:
        tag = ET.SubElement(view, kind, name=kind.lower(), toName="video")
    for label in labels:
        ET.SubElement(tag, "Label", value=printable(label))
    ET.SubElement(view, "Video", name="video", value="$video", frameRate=f"{result.frame_rate or _ASSUMED:g}")
    ET.indent(view)
    ET.ElementTree(view).write(path.with_suffix(".xml"), encoding="utf-8")


def _frame(seconds: float, rate: float) -> int:
    """Return the frame that Label Studio shows at a time of the clip: it counts from 1, at the rate that the interface names."""
    return max(0, round(seconds * rate)) + 1
