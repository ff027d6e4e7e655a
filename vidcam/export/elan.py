"""Segments as an annotation document of ELAN, the annotation tool of the Max Planck Institute for Psycholinguistics."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec B405 # written, never read
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

from vidcam.results.localization import Localization
from vidcam.temporal.segments import distinct
from vidcam.untrusted.text import printable

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


def write_elan(found: Localization, path: Path) -> None:
    """Write the `distinct` segments as an .eaf file: a tier for each class, and an annotation with the score for each.

    The format is EAF 3.0 (https://www.mpi.nl/tools/elan/EAFv3.0.xsd); its times are whole milliseconds. A clip that is a file
    is named as the medium.

    Args:
        found: the localization.
        path: the .eaf file.
    """
    document = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "vidcam",
            "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ET.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if found.file is not None:
        name = found.file.resolve().as_uri()
        ET.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=name, MIME_TYPE="video/mp4")
    order = ET.SubElement(document, "TIME_ORDER")
    tiers: dict[str, ET.Element] = {}
    slots, annotations = count(1), count(1)
    for segment in sorted(distinct(found.segments), key=lambda s: (s.start, s.end)):
        tier = tiers.setdefault(
            segment.label, ET.Element("TIER", TIER_ID=printable(segment.label), LINGUISTIC_TYPE_REF="segment")
        )
        names = []
        for seconds in (segment.start, segment.end):
            names.append(f"ts{next(slots)}")
            ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=names[-1], TIME_VALUE=str(max(0, round(seconds * 1000))))
        aligned = ET.SubElement(
            ET.SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{next(annotations)}",
            TIME_SLOT_REF1=names[0],
            TIME_SLOT_REF2=names[1],
        )
        ET.SubElement(aligned, "ANNOTATION_VALUE").text = f"{segment.score:.3f}"
    document.extend(tiers.values())
    ET.SubElement(
        document, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="segment", TIME_ALIGNABLE="true", GRAPHIC_REFERENCES="false"
    )
    ET.indent(document)
    ET.ElementTree(document).write(path, encoding="utf-8", xml_declaration=True)
