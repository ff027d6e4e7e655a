from __future__ import annotations

import csv
import json
from pathlib import Path

from vidcam.evaluation.activitynet import read_predictions
from vidcam.export.annotations import write_chapters, write_detections, write_segments_csv
from vidcam.metrics.localization import Detection
from vidcam.temporal.segments import Segment

SEGMENTS = (Segment(61.25, 3725.5, "wave & <b>bow</b>", 0.75), Segment(1.0, 2.0, "jump", 0.5))


def test_detections_read_back(tmp_path: Path) -> None:
    write_detections({"v": SEGMENTS, "w": ()}, tmp_path / "p.json", {"model": "m"})
    found = read_predictions(tmp_path / "p.json")
    assert found.detections == [Detection("v", s.label, s.start, s.end, s.score) for s in SEGMENTS]
    assert found.warnings == ()
    assert json.loads((tmp_path / "p.json").read_text())["results"]["w"] == []


def test_a_table_of_segments(tmp_path: Path) -> None:
    write_segments_csv({"v": SEGMENTS}, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"video": "v", "label": "jump", "start_s": "1.000000", "end_s": "2.000000", "score": "0.5"}


def test_chapters_for_a_player(tmp_path: Path) -> None:
    write_chapters(SEGMENTS, tmp_path / "c.vtt")
    assert (tmp_path / "c.vtt").read_text() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\njump (confidence 0.50)\n\n"
        "00:01:01.250 --> 01:02:05.500\nwave &amp; &lt;b&gt;bow&lt;/b&gt; (confidence 0.75)\n"
    )


def test_clocks_at_nought_and_at_an_hour(tmp_path: Path) -> None:
    write_chapters([Segment(0, 3600, "ä", 0.5)], tmp_path / "c.vtt")
    text = (tmp_path / "c.vtt").read_text(encoding="utf-8")
    assert "00:00:00.000 --> 01:00:00.000" in text and "ä (confidence 0.50)" in text
