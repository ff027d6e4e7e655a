"""Annotation files: segments as ActivityNet's JSON, CSV and WebVTT chapters; ActivityNet's two formats read."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from vidcam.errors import SettingsError
from vidcam.metrics.localization import Detection, Truth
from vidcam.temporal.segments import Segment, distinct
from vidcam.untrusted.files import read_json
from vidcam.untrusted.text import as_json, fitted, printable, shortened

_MOST_BYTES = 256 << 20
_LARGEST = 1e15


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
        lines += [f"{_clock(s.start)} --> {_clock(s.end)}", f"{label} ({s.score:.2f})", ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def _clock(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def read_truths(path: Path, subset: str | None = None) -> list[Truth]:
    """Return the annotations of an ActivityNet truth file ("database").

    Overlapping annotations are allowed: each is a truth of its own.

    Args:
        path: the JSON file.
        subset: "training", "validation" or another subset of the file; None for all.

    Raises:
        SettingsError: the file cannot be read or has another form, a segment ends before it begins, has a time that is
            not a number or lies outside the duration its video announces, or nothing is annotated.
    """
    database = _read(path, "database", "a truth file of ActivityNet")
    truths = []
    for video, entry in database.items():
        if not isinstance(entry, dict):
            raise SettingsError(f"{path}: {_short(video)} is {shortened(entry)}; give its duration and annotations")
        if subset is not None and entry.get("subset") != subset:
            continue
        duration = entry.get("duration", math.inf)
        if duration != math.inf and not _finite(duration):
            raise SettingsError(f"{path}: {_short(video)} has duration {shortened(duration)}; give seconds")
        for annotation in _list(entry.get("annotations"), path, video):
            start, end = _segment(annotation, path, video)
            if start < 0 or end > duration + 1:
                raise SettingsError(
                    f"{path}: {_short(video)} has a segment {start:g} to {end:g} s outside its {duration:g} s; correct the annotation"
                )
            truths.append(Truth(video, annotation["label"], start, end))
    if not truths:
        subsets = sorted(
            {_short(str(s)) for entry in database.values() if not isinstance(s := entry.get("subset"), list | dict)}
        )
        raise SettingsError(
            f"{path} annotates nothing in subset {subset or 'any'}; its subsets are {', '.join(subsets[:10])}"
        )
    return truths


def truths_of(video: str, duration: float, truths: Sequence[Truth], path: Path) -> list[Truth]:
    """Return the annotations of one video.

    Args:
        video: name of the video.
        duration: of the clip, in seconds.
        truths: of all videos.
        path: the file they were read from, for messages.

    Raises:
        SettingsError: there is no annotation of that video, or one ends more than a second after the clip.
    """
    own = [t for t in truths if t.video == video]
    if not own:
        known = ", ".join(list(dict.fromkeys(t.video for t in truths))[:5])
        raise SettingsError(f"{path} annotates no {video!r}; it has {known}; name the clip as the annotation does")
    if (last := max(t.end for t in own)) > duration + 1:
        raise SettingsError(
            f"{path} annotates {video!r} until {last:g} s, the clip ends at {duration:g} s; give the clip it belongs to"
        )
    return own


def read_detections(path: Path) -> list[Detection]:
    """Return the detections of an ActivityNet prediction file ("results"); there may be none.

    Raises:
        SettingsError: the file cannot be read or has another form, a segment ends before it begins, or a time or a
            score is not a number.
    """
    detections = []
    for video, entries in _read(path, "results", "a prediction file of ActivityNet").items():
        for entry in _list(entries, path, video):
            start, end = _segment(entry, path, video, empty=True)
            score = entry.get("score")
            if not _finite(score):
                raise SettingsError(
                    f"{path}: {_short(video)} has a detection with score {shortened(score)}; give a number"
                )
            detections.append(Detection(video, entry["label"], start, end, float(score)))
    return detections


def _read(path: Path, key: str, what: str) -> dict[str, Any]:
    try:
        stored = read_json(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read ({_short(str(error))}); give {what}") from error
    found = stored.get(key) if isinstance(stored, dict) else None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} has no {key!r} by video; give {what}")
    return found


def _list(entries: Any, path: Path, video: str) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("label"), str) for e in entries
    ):
        raise SettingsError(f"{path}: {_short(video)} holds no list of segments with labels; correct the file")
    return entries


def _segment(entry: Mapping[str, Any], path: Path, video: str, *, empty: bool = False) -> tuple[float, float]:
    match entry.get("segment"):
        case [start, end] if _finite(start) and _finite(end) and (start < end or (empty and start == end)):
            return float(start), float(end)
    raise SettingsError(
        f"{path}: {_short(video)} has the segment {shortened(entry.get('segment'))}; "
        "give [start, end] in seconds, start before end"
    )


def _finite(value: Any) -> TypeGuard[int | float]:
    """Return True for a number of seconds or a score, but not for a truth value or one so large that sums overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _short(text: str) -> str:
    return fitted(text, 120)
