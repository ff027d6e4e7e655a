from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from vidcam.errors import SettingsError
from vidcam.export.annotations import (
    read_detections,
    read_truths,
    truths_of,
    write_chapters,
    write_detections,
    write_segments_csv,
)
from vidcam.metrics.localization import Detection, Truth
from vidcam.temporal.segments import Segment

SEGMENTS = (Segment(61.25, 3725.5, "wave & <b>bow</b>", 0.75), Segment(1.0, 2.0, "jump", 0.5))


def test_detections_read_back(tmp_path: Path) -> None:
    write_detections({"v": SEGMENTS, "w": ()}, tmp_path / "p.json", {"model": "m"})
    assert read_detections(tmp_path / "p.json") == [Detection("v", s.label, s.start, s.end, s.score) for s in SEGMENTS]
    assert json.loads((tmp_path / "p.json").read_text())["results"]["w"] == []


def test_a_table_of_segments(tmp_path: Path) -> None:
    write_segments_csv({"v": SEGMENTS}, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"video": "v", "label": "jump", "start_s": "1.000000", "end_s": "2.000000", "score": "0.5"}


def test_chapters_for_a_player(tmp_path: Path) -> None:
    write_chapters(SEGMENTS, tmp_path / "c.vtt")
    assert (tmp_path / "c.vtt").read_text() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\njump (0.50)\n\n"
        "00:01:01.250 --> 01:02:05.500\nwave &amp; &lt;b&gt;bow&lt;/b&gt; (0.75)\n"
    )


def _truth(tmp_path: Path, annotations: Any, **others: Any) -> Path:
    path = tmp_path / "t.json"
    entry = {"subset": "validation", "duration": 10.0, "annotations": annotations, **others}
    path.write_text(json.dumps({"database": {"v": entry, "w": {"subset": "training", "annotations": []}}}))
    return path


def test_truths_of_a_subset_overlapping_ones_included(tmp_path: Path) -> None:
    path = _truth(tmp_path, [{"label": "a", "segment": [0, 5]}, {"label": "a", "segment": [4.5, 9]}])
    truths = [Truth("v", "a", 0, 5), Truth("v", "a", 4.5, 9)]
    assert read_truths(path) == truths == read_truths(path, "validation")
    with pytest.raises(
        SettingsError, match="annotates nothing in subset training; its subsets are training, validation"
    ):
        read_truths(path, "training")


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([{"label": "a", "segment": [5, 2]}], r"has the segment \[5, 2\]; give \[start, end\]"),
        ([{"label": "a", "segment": [5, 15]}], "outside its 10 s"),
        ([{"label": "a", "segment": [-1, 5]}], "outside its 10 s"),
        ([{"label": "a", "segment": ["0", "5"]}], "has the segment"),
        ([{"label": "a", "segment": [float("nan"), 5]}], "has the segment"),
        ([{"segment": [0, 5]}], "no list of segments with labels"),
        ("none", "no list of segments with labels"),
    ],
)
def test_truths_that_cannot_be(tmp_path: Path, annotations: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_truths(_truth(tmp_path, annotations))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("[]", "has no 'results' by video"),
        ('{"results": {"v": [{"label": "a", "segment": [0, 1], "score": NaN}]}}', "has a detection with score nan"),
        ('{"results": {"v": [{"label": "a", "segment": [0, 1]}]}}', "has a detection with score None"),
        ('{"results": {"v": [{"label": "a", "segment": [0], "score": 1}]}}', "has the segment"),
    ],
)
def test_detections_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_detections(tmp_path / "p.json")


def test_an_empty_prediction_file_holds_no_detections(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"results": {}}')
    assert read_detections(tmp_path / "p.json") == []


def test_annotations_that_belong_to_another_clip(tmp_path: Path) -> None:
    truths = [Truth("v", "a", 0, 5)]
    assert truths_of("v", 4.5, truths, tmp_path) == truths
    with pytest.raises(SettingsError, match="annotates no 'u'; it has v"):
        truths_of("u", 10, truths, tmp_path)
    with pytest.raises(SettingsError, match="until 5 s, the clip ends at 2 s"):
        truths_of("v", 2, truths, tmp_path)


def _truth_file(path: Path, database: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"database": database}))
    return path


def _entry(start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"annotations": [{"label": "a", "segment": [start, end]}], **more}


def test_a_truth_may_end_a_second_after_its_video_and_no_later(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    assert read_truths(_truth_file(path, {"v": _entry(1, 11, duration=10)})) == [Truth("v", "a", 1, 11)]
    assert read_truths(_truth_file(path, {"v": _entry(1, 1000)})) == [Truth("v", "a", 1, 1000)]  # no duration is given
    with pytest.raises(SettingsError, match="outside its 10 s"):
        read_truths(_truth_file(path, {"v": _entry(1, 11.5, duration=10)}))
    truths = [Truth("v", "a", 1, 11)]
    assert truths_of("v", 10, truths, path) == truths
    with pytest.raises(SettingsError, match=r"the clip ends at 9\.5 s"):
        truths_of("v", 9.5, truths, path)


def test_videos_of_other_subsets_are_passed_over(tmp_path: Path) -> None:
    database = {"v": _entry(0, 1, subset="training"), "w": _entry(0, 2, subset="validation")}
    assert read_truths(_truth_file(tmp_path / "t.json", database), "validation") == [Truth("w", "a", 0, 2)]


def test_what_takes_no_time_is_a_detection_and_no_truth(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    for start, end, fine in ((2.0, 2.0, True), (2.0, 1.0, False)):
        path.write_text(json.dumps({"results": {"v": [{"label": "a", "score": 1, "segment": [start, end]}]}}))
        if fine:
            assert read_detections(path) == [Detection("v", "a", 2, 2, 1)]
        else:
            with pytest.raises(SettingsError, match=r"p\.json: v has the segment \[2.0, 1.0\]"):
                read_detections(path)
    with pytest.raises(SettingsError, match=r"t\.json: v has the segment \[2, 2\]"):
        read_truths(_truth_file(tmp_path / "t.json", {"v": _entry(2, 2)}))


def test_clocks_at_nought_and_at_an_hour(tmp_path: Path) -> None:
    write_chapters([Segment(0, 3600, "ä", 0.5)], tmp_path / "c.vtt")
    text = (tmp_path / "c.vtt").read_text(encoding="utf-8")
    assert "00:00:00.000 --> 01:00:00.000" in text and "ä (0.50)" in text


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"database": {"v": [1]}}, r"v is \[1\]; give its duration"),
        ({"database": {"v": _entry(0, 1, duration="10")}}, "has duration '10'"),
        ({"database": {"v": _entry(0, 1, duration=float("nan"))}}, "has duration nan"),
        ({"database": {"v": _entry(0, 1, duration=10**400)}}, "has duration"),
        ({"database": {"v": _entry(0, 10**400)}}, "has the segment"),
        ({"database": {"v": _entry(False, True)}}, "has the segment"),
        ({"database": {"v": {"annotations": [{"label": ["a"], "segment": [0, 1]}]}}}, "no list of segments"),
        ({"database": {"v": {"annotations": [], "subset": [1]}}}, "annotates nothing"),
        ({"database": {"v\x1b" * 1000: 5}}, r"v\\x1b"),
    ],
    ids=range(9),
)
def test_truths_of_other_types(tmp_path: Path, stored: Any, message: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(stored))
    with pytest.raises(SettingsError, match=message) as caught:
        read_truths(tmp_path / "t.json")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "\x00", '{"results": {"v": [5]}}', '{"database": 5}'])
def test_annotations_that_are_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    for read in (read_truths, read_detections):
        with pytest.raises(SettingsError):
            read(tmp_path / "t.json")
        with pytest.raises(SettingsError, match="cannot be read"):
            read(Path("/dev/zero"))
