"""Segments as temporal detections of FiftyOne."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidcam.results.localization import Localization
from vidcam.temporal.segments import distinct, frame_edges
from vidcam.untrusted.text import as_json, printable


def write_fiftyone(found: Localization, path: Path) -> None:
    """Write the `distinct` segments as labels of a `FiftyOneTemporalDetectionDataset`, for the clip of that name.

    FiftyOne counts the frames of the whole file from 1, the last one included. The clip lies in `data/` beside the file.

    Args:
        found: the localization.
        path: the JSON file.

    Raises:
        ClipError: the localization is of a stretch of a file that is gone.
    """
    edges, first = frame_edges(found.times), found.first_frame() + 1
    classes = [printable(label) for label in found.labels]
    detections = []
    for s in distinct(found.segments):
        start = int(np.clip(np.abs(edges - s.start).argmin(), 0, found.frames - 1))
        end = int(np.clip(np.abs(edges - s.end).argmin() - 1, start, found.frames - 1))
        support = [first + start, first + end]
        detections.append({"label": found.labels.index(s.label), "confidence": s.score, "support": support})
    stored = {"classes": classes, "labels": {printable(Path(found.clip).stem): detections}}
    path.write_text(as_json(stored, indent=2) + "\n", encoding="utf-8")
