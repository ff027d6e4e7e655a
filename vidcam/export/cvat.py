"""Tubes as annotations of CVAT, the Computer Vision Annotation Tool."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec B405 # written, never read
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidcam.results.explanation import Explanation
from vidcam.untrusted.text import printable

if TYPE_CHECKING:
    from vidcam.temporal.tubes import Tube  # with SciPy


def write_cvat(explanation: Explanation, tubes: Sequence[Tube], path: Path) -> None:
    """Write tubes as XML of the format "CVAT for video 1.1": a track for each, with a box in every frame, in pixels.

    The score is an attribute of the track. The format is described at https://docs.cvat.ai (XML annotation format). CVAT
    counts the frames of the whole file from 0. A box marked "outside" in the frame after the last one ends a track. The end
    of the file ends one without it, for CVAT refuses frames that the file does not have. A stretch may end with the file or
    before it, so a tube that lasts until then is ended in its last frame.

    Args:
        explanation: of a clip.
        tubes: of its target.
        path: the .xml file.

    Raises:
        ClipError: the explanation is of a stretch of a file that is gone.
    """
    height, width = explanation.size
    first = explanation.first_frame()
    root = ET.Element("annotations")
    _text(root, "version", "1.1")
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    facts = {
        "name": printable(explanation.clip),
        "size": explanation.frames,
        "mode": "interpolation",
        "start_frame": first,
        "stop_frame": first + explanation.frames - 1,
    }
    for name, value in facts.items():
        _text(task, name, value)
    labels = ET.SubElement(task, "labels")
    for label in dict.fromkeys([explanation.target.label, *(tube.label for tube in tubes)]):
        element = ET.SubElement(labels, "label")
        _text(element, "name", printable(label))
        score = ET.SubElement(ET.SubElement(element, "attributes"), "attribute")
        for name, value in {
            "name": "score",
            "mutable": "False",
            "input_type": "number",
            "default_value": 0,
            "values": "0\n1\n0.001",
        }.items():
            _text(score, name, value)
    size = ET.SubElement(task, "original_size")
    _text(size, "width", width)
    _text(size, "height", height)
    for number, tube in enumerate(tubes):
        track = ET.SubElement(root, "track", id=str(number), label=printable(tube.label), source="auto")
        ended = tube.end < explanation.frames or explanation.stretch[1] is not None
        until = min(tube.end, explanation.frames - 1) if ended else tube.end - 1
        for frame in range(tube.start, until + 1):
            box = tube.boxes[min(frame, tube.end - 1) - tube.start]
            corners = {name: f"{value:.2f}" for name, value in zip(("xtl", "ytl", "xbr", "ybr"), box)}
            outside = str(int(ended and frame == until))
            placed = {"frame": str(first + frame), "outside": outside, "occluded": "0", "keyframe": "1"}
            element = ET.SubElement(track, "box", {**placed, **corners, "z_order": "0"})
            ET.SubElement(element, "attribute", name="score").text = f"{tube.score:.3f}"
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _text(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)
