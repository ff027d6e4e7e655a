"""ActivityNet's truth and prediction files, read as its own evaluation reads them; what does not fit is in warnings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidcam.errors import SettingsError, counted, nearest
from vidcam.metrics.localization import Detection, Truth
from vidcam.untrusted.files import read_json
from vidcam.untrusted.text import fitted, shortened

_MOST_BYTES = 256 << 20
_LARGEST = 1e15
_TOLERANCE = 1.0  # seconds by which a segment may leave its video: durations are often rounded

_Remarks = defaultdict[tuple[str, str], list[str]]  # (noun, remark) → the entries it is about


@dataclass(frozen=True)
class Annotations:
    """The annotations of a truth file, of all subsets or of one.

    Attributes:
        truths: of all videos.
        durations: video → seconds, infinite if not known; also of videos without annotations.
        subset: the one they are of, or None.
        warnings: problems that did not prevent the reading, for people to read.
    """

    truths: list[Truth]
    durations: dict[str, float]
    subset: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """The detections of a prediction file.

    Attributes:
        detections: of all videos.
        warnings: problems that did not prevent the reading, for people to read.
    """

    detections: list[Detection]
    warnings: tuple[str, ...]


def read_annotations(path: Path, subset: str | None = None) -> Annotations:
    """Return the annotations of an ActivityNet truth file ("database").

    Overlapping annotations are allowed: each is a truth of its own. An annotation that takes no time, or ends before it
    begins, is one too, which no detection can hit. Warnings name both, segments outside their video, numbers written as
    text, and videos without annotations, duration or subset.

    Args:
        path: the JSON file.
        subset: "training", "validation" or another subset of the file; None for all.

    Raises:
        SettingsError: the file cannot be read or has another form, a time is not a number, or nothing is annotated.
    """
    database = _read(path, "database", "a truth file of ActivityNet")
    truths: list[Truth] = []
    durations: dict[str, float] = {}
    remarks = _Remarks(list)
    for video, entry in database.items():
        if not isinstance(entry, dict):
            raise SettingsError(f"{path}: {_short(video)} is {shortened(entry)}; give its duration and annotations")
        own = entry.get("subset")
        if subset is not None and own != subset:
            if not isinstance(own, str):
                remarks["video", "without a subset, left out"].append(_short(video))
            continue
        durations[video] = duration = _duration(entry.get("duration"), video, remarks)
        annotations = entry.get("annotations")
        if annotations is None or annotations == []:
            remarks["video", "without annotations"].append(_short(video))
            continue
        for annotation in _list(annotations, path, video):
            start, end = _segment(annotation, path, video, remarks, "which no detection can hit")
            if _outside(start, end, duration):
                place = f"{_short(video)} [{start:g}, {end:g}]"
                remarks["segment", "outside the video"].append(
                    f"{place} of {duration:g} s" if math.isfinite(duration) else place
                )
            truths.append(Truth(video, _label(annotation, path, video), start, end))
    if not truths:
        subsets = sorted(
            {_short(str(s)) for entry in database.values() if not isinstance(s := entry.get("subset"), list | dict)}
        )
        raise SettingsError(
            f"{path} annotates nothing in subset {subset or 'any'}; its subsets are {', '.join(subsets[:10])}"
        )
    return Annotations(truths, durations, subset, _warnings(remarks, f"{path}: "))


def read_predictions(path: Path) -> Predictions:
    """Return the detections of an ActivityNet prediction file ("results"); there may be none.

    Detections that take no time or end before they begin are kept, as false ones, and warnings name them.

    Raises:
        SettingsError: the file cannot be read or has another form, or a time or a score is not a number.
    """
    detections = []
    remarks = _Remarks(list)
    for video, entries in _read(path, "results", "a prediction file of ActivityNet").items():
        for entry in _list(entries, path, video):
            start, end = _segment(entry, path, video, remarks, "counted as false")
            score = None if isinstance(entry.get("score"), str) else _number(entry.get("score"))
            if score is None:
                raise SettingsError(
                    f"{path}: {_short(video)} has a detection with score {shortened(entry.get('score'))}; give a number"
                )
            detections.append(Detection(video, _label(entry, path, video), start, end, score))
    return Predictions(detections, _warnings(remarks, f"{path}: "))


def annotations_of(video: str, duration: float, truths: Sequence[Truth], path: Path) -> list[Truth]:
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
        known = list(dict.fromkeys(t.video for t in truths))
        near = ", ".join(map(_short, nearest(video, known) or known[:5]))
        raise SettingsError(f"{path} annotates no {video!r}; it has {near}; name the clip as the annotation does")
    if (last := max(t.end for t in own)) > duration + _TOLERANCE:
        raise SettingsError(
            f"{path} annotates {video!r} until {last:g} s, the clip ends at {duration:g} s; give the clip it belongs to"
        )
    return own


def mismatches(annotations: Annotations, predictions: Predictions) -> tuple[str, ...]:
    """Return warnings about predictions and annotations that have no counterpart.

    They are about detections of videos and of labels that are not in the truth, detections outside their video, and
    annotated videos and classes without detections.

    Raises:
        SettingsError: none of the predicted videos, or of the predicted labels, is in the truth.
    """
    detections, durations = predictions.detections, annotations.durations
    where = "annotated" if annotations.subset is None else f"annotated in subset {_short(annotations.subset)}"
    videos = dict.fromkeys(d.video for d in detections)
    classes = dict.fromkeys(t.label for t in annotations.truths)
    labels = dict.fromkeys(d.label for d in detections)
    strange = [v for v in videos if v not in durations]
    unknown = [label for label in labels if label not in classes]
    if strange and len(strange) == len(videos):
        near = (nearest(strange[0], durations, 1) or list(durations))[0]
        raise SettingsError(
            f"0 of {_counted_are(len(videos), 'predicted video')} {where}; the truth has e.g. {shortened(near)}, "
            f"the predictions {shortened(strange[0])}; name the videos as the truth does"
        )
    if unknown and len(unknown) == len(labels):
        raise SettingsError(
            f"0 of {_counted_are(len(labels), 'predicted label')} in the truth; {_unknown(unknown[0], classes)}; "
            "name the classes as the truth does"
        )
    found = []
    if strange:
        found.append(
            f"{len(strange):,} of {counted(len(videos), 'predicted video')} not {where}; the detections there are "
            f"false; the first: {shortened(strange[0])}"
        )
    if unknown:
        left_out = sum(d.label not in classes for d in detections)
        found.append(
            f"{len(unknown):,} of {counted(len(labels), 'predicted label')} not in the truth; "
            f"{counted(left_out, 'detection')} left out; {_unknown(unknown[0], classes)}"
        )
    remarks = _Remarks(list)
    for d in detections:
        if _outside(d.start, d.end, durations.get(d.video, math.inf)):
            remarks["detection", "outside the video"].append(f"{_short(d.video)} [{d.start:g}, {d.end:g}]")
    found += _warnings(remarks)
    annotated = dict.fromkeys(t.video for t in annotations.truths)
    advice = "; give a subset if the predictions are of one" if annotations.subset is None else ""
    found += _without(annotated, videos, "annotated video", f"the annotations there are missed{advice}")
    return (*found, *_without(classes, labels, "annotated class", "average precision 0"))


def _counted_are(count: int, noun: str) -> str:
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"


def _unknown(label: str, classes: Iterable[str]) -> str:
    near = nearest(label, classes, 3)
    known = f"nearest: {', '.join(map(_short, near))}" if near else f"it has e.g. {_short(next(iter(classes)))}"
    return f"label {shortened(label)} is not in the truth; {known}"


def _without(annotated: Iterable[str], detected: Mapping[str, Any], noun: str, effect: str) -> list[str]:
    all_of = list(annotated)
    missing = [name for name in all_of if name not in detected]
    if not missing:
        return []
    return [
        f"{len(missing):,} of {counted(len(all_of), noun)} without detections; {effect}; the first: "
        f"{shortened(missing[0])}"
    ]


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
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SettingsError(f"{path}: {_short(video)} holds no list of segments with labels; correct the file")
    return entries


def _label(entry: Mapping[str, Any], path: Path, video: str) -> str:
    """Return the label of an entry; a number in place of a name as text."""
    label = entry.get("label")
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise SettingsError(f"{path}: {_short(video)} has a segment with label {shortened(label)}; give its class")
    try:
        return str(label)
    except ValueError as error:  # an integer of thousands of digits
        raise SettingsError(
            f"{path}: {_short(video)} has a segment with label {shortened(label)}; give its class"
        ) from error


def _segment(entry: Mapping[str, Any], path: Path, video: str, remarks: _Remarks, empty: str) -> tuple[float, float]:
    """Return start and end of an entry in seconds; `empty` says what comes of one that takes no time."""
    given = entry.get("segment")
    match given:
        case [first, last] if (start := _number(first)) is not None and (end := _number(last)) is not None:
            place = f"{_short(video)} {shortened(given)}"
            if isinstance(first, str) or isinstance(last, str):
                remarks["segment", "written as text, read as seconds"].append(place)
            if start == end:
                remarks["segment", f"of no length, {empty}"].append(place)
            if start > end:
                remarks["segment", f"with the end before the start, {empty}"].append(place)
            return start, end
    raise SettingsError(
        f"{path}: {_short(video)} has the segment {shortened(given)}; give [start, end] in seconds, start before end"
    )


def _duration(given: Any, video: str, remarks: _Remarks) -> float:
    """Return the duration of a video in seconds, infinite if none is given."""
    duration = _number(given)
    if duration is None or duration <= 0:
        remarks["video", "without a duration in seconds, against which segments are not checked"].append(
            f"{_short(video)} (duration {shortened(given)})"
        )
        return math.inf
    if isinstance(given, str):
        remarks["duration", "written as text, read as seconds"].append(f"{_short(video)} {shortened(given)}")
    return duration


def _number(given: Any) -> float | None:
    """Return a number, also from text; None if it is none, not finite, or so large that sums overflow."""
    if isinstance(given, bool) or not isinstance(given, int | float | str) or "_" in str(given):  # Python's 1_000
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < _LARGEST else None


def _outside(start: float, end: float, duration: float) -> bool:
    return min(start, end) < 0 or max(start, end) > duration + _TOLERANCE


def _warnings(remarks: _Remarks, prefix: str = "") -> tuple[str, ...]:
    """Return a line for each remark: the count, the remark, and the first entry it is about."""
    return tuple(
        f"{prefix}{counted(len(entries), noun)} {remark}; the first: {entries[0]}"
        for (noun, remark), entries in remarks.items()
    )


def _short(text: str) -> str:
    return fitted(text, 120)
