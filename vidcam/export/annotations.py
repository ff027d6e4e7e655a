"""Files of segments: ActivityNet's JSON, CSV, WebVTT chapters and SubRip subtitles."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcam.temporal.segments import Segment, distinct
from vidcam.untrusted.text import as_json, printable


def write_detections(results: Mapping[str, Sequence[Segment]], path: Path, facts: Mapping[str, Any]) -> None:
    """Write segments in ActivityNet's detection format: video → list of label, score and segment in seconds.

    Args:
        results: video → segments.
        path: the JSON file.
        facts: stored under "external_data".
    """
    stored = {
        "version": "VERSION 1.3",
        "results": {
            video: [{"label": s.label, "score": s.score, "segment": [s.start, s.end]} for s in segments]
            for video, segments in results.items()
        },
        "external_data": dict(facts),
    }
    path.write_text(as_json(stored, indent=2) + "\n", encoding="utf-8")


def write_segments_csv(results: Mapping[str, Sequence[Segment]], path: Path) -> None:
    """Write segments as CSV, a row each: video, label, start_s, end_s, score.

    Args:
        results: video → segments.
        path: the CSV file.
    """
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "label", "start_s", "end_s", "score"])
        for video, segments in results.items():
            for s in segments:
                writer.writerow([video, s.label, f"{s.start:.6f}", f"{s.end:.6f}", f"{s.score:.6g}"])


def write_chapters(segments: Iterable[Segment], path: Path) -> None:
    """Write the `distinct` segments as WebVTT chapters (W3C) by time, for a video player."""
    lines = ["WEBVTT", ""]
    for s in sorted(distinct(segments), key=lambda s: (s.start, s.end)):
        label = printable(s.label.replace("\n", " ")).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [f"{_clock(s.start)} --> {_clock(s.end)}", f"{label} (confidence {s.score:.2f})", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_subtitles(segments: Iterable[Segment], path: Path) -> None:
    """Write the `distinct` segments as SubRip subtitles by time, for players and editors that read no WebVTT."""
    lines = []
    for number, s in enumerate(sorted(distinct(segments), key=lambda s: (s.start, s.end)), 1):
        span = f"{_clock(s.start)} --> {_clock(s.end)}".replace(".", ",")
        lines += [str(number), span, f"{printable(s.label)} (confidence {s.score:.2f})", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _clock(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
