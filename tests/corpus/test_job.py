from __future__ import annotations

from pathlib import Path

from vidcam.corpus.job import Job, failure_record, manifest_columns
from vidcam.corpus.limits import Limits
from vidcam.corpus.manifest import BadRow, Entry
from vidcam.recipe import ExplainConfig


def test_a_job_survives_its_way_to_a_worker() -> None:
    config = ExplainConfig(model="playground-c3d", stride=3, target="waving", dtype="float32")
    job = Job(config=config, limits=Limits(seconds=5), films=True, folder=Path("/a"), directory=Path("/b"))
    again = Job.model_validate_json(job.model_dump_json())
    assert again == job and again.config.stride == 3


def test_the_record_of_a_failure_is_short_and_tells_no_secret() -> None:
    entry = Entry(path="https://u5er:S3CR3T@host/a.mp4?token=S3CR3T", target="waving", start=0.5)
    record = failure_record(entry, "ClipError", f"{entry.path} cannot be read", {"fetch": 1.0})
    assert "S3CR3T" not in str(record) and record["error"] == "https://host/a.mp4?… cannot be read"
    assert (record["error_kind"], record["timings"], record["target"]) == ("ClipError", {"fetch": 1.0}, "waving")
    assert (record["start"], record["end"]) == (0.5, None)
    long = failure_record(Entry(path="a.mp4"), "ClipError", "x" * 5000)["error"]
    assert len(long) == 4000 and long.endswith("x…")


def test_the_record_of_a_row_that_cannot_be_used() -> None:
    bad = BadRow(shown="row 3", error="no path", id="a-1")
    expected = {"id": "a-1", "clip": "row 3", "target": None, "start": None, "end": None}
    assert manifest_columns(bad) == expected
    assert failure_record(bad, "ManifestError", "no path in https://u5er:S3CR3T@host/a.mp4")["error"].endswith(
        "https://host/a.mp4"
    )
