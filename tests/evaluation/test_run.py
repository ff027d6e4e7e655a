from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidcam.errors import ClipError, OutputError
from vidcam.evaluation.run import differences, measure_clips, summarize
from vidcam.evaluation.samples import Sample, Source
from vidcam.models.registry import Model, load_model


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-c3d")


def _sources(count: int) -> list[Source]:
    def read(index: int) -> Any:
        return lambda model: Sample(str(index), np.zeros((1, 1, 1, 3), np.uint8), 16)

    return [Source(str(index), read(index)) for index in range(count)]


class Counting:
    """A measure whose figures are the clip's number, and that breaks at some."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        self.measured: list[str] = []
        self.broken = broken

    def __call__(self, sample: Sample) -> Mapping[str, Mapping[str, Any]]:
        self.measured.append(sample.name)
        if sample.name in self.broken:
            raise ClipError(f"{sample.name} is broken")
        number = float(sample.name)
        return {
            "gradcam++": {"confidence_seen": 0.9, "number": number, "curve": [1, 2]},
            "gradcam": {"confidence_seen": 0.1 * number, "number": 0.0, "curve": [3, 4]},
            "ones": {"confidence_seen": 1.0, "number": 7.0, "curve": [5, 6]},
        }


def test_means_wins_and_differences(model: Model) -> None:
    records = measure_clips(Counting(("2",)), model.spec.preprocess, _sources(5), {})
    found = summarize(records, {"data": "x"}, ["gradcam++", "gradcam"])
    assert (found.clips, found.failed) == (4, {"2": "2 is broken"})
    assert found.methods["gradcam++"]["number"].mean == 2.0
    assert found.methods["gradcam++"]["win"].mean == 100 and found.methods["gradcam"]["win"].mean == 0
    assert list(found.baselines) == ["ones"] and "win" not in found.baselines["ones"]
    plain = found.json()
    assert plain["methods"]["gradcam++"]["number_clips"] == 4
    low, high = plain["methods"]["gradcam++"]["number_interval"]
    assert 0 <= low < 2 < high <= 4
    assert dict(differences(records, "gradcam++", "gradcam"))["number"].mean == 2.0


def test_progress_counts_the_clips(model: Model) -> None:
    seen: list[tuple[int, int]] = []
    measure_clips(Counting(("1",)), model.spec.preprocess, _sources(3), {}, progress=lambda *n: seen.append(n))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_curves_have_no_means_and_figures_of_some_clips_no_difference(model: Model) -> None:
    records = measure_clips(Counting(), model.spec.preprocess, _sources(3), {})
    records[1]["figures"]["gradcam"].pop("number")
    found = summarize(records, {}, ["gradcam++", "gradcam"])
    assert "curve" not in found.methods["gradcam"] and found.methods["gradcam"]["number"].count == 2
    assert [name for name, _ in differences(records, "gradcam++", "gradcam")] == ["confidence_seen"]
    (seen,) = (estimate for _, estimate in differences(records, "gradcam++", "gradcam"))
    assert seen.mean == pytest.approx(0.9 - 0.1) and seen.count == 3


def test_clips_are_won_where_the_confidence_is_measured(model: Model) -> None:
    """Five of ten clips keep less by the second method, four more, and one as much: that one is shared."""
    records = measure_clips(Counting(), model.spec.preprocess, _sources(10), {})
    for record in records:
        record["figures"]["gradcam"]["confidence_seen"] = int(record["clip"]) / 10
        record["figures"]["gradcam++"]["confidence_seen"] = 0.5
    found = summarize(records, {}, ["gradcam++", "gradcam"])
    assert [found.methods[m]["win"].mean for m in ("gradcam++", "gradcam")] == pytest.approx([55, 45])
    del records[0]["figures"]["gradcam"]["confidence_seen"]
    assert "win" not in summarize(records, {}, ["gradcam++", "gradcam"]).methods["gradcam++"]


@pytest.mark.parametrize(
    "line",
    [
        '{"clip": 1, "error": "e"}',
        '{"clip": "0"}',
        '{"clip": "0", "error": 1}',
        '{"clip": "0", "figures": {}}',
        '{"clip": "0", "figures": []}',
        '{"clip": "0", "figures": {"ones": 1}}',
        '{"clip": "0", "figures": {"ones": {"number": "1"}}}',
        '{"clip": "0", "figures": {"error": "text"}}',
        "[]",
        "{",
    ],
)
def test_records_of_another_form_are_refused(model: Model, tmp_path: Path, line: str) -> None:
    (tmp_path / "records.jsonl").write_text(line + "\n")
    with pytest.raises(OutputError, match="cannot be used"):
        measure_clips(Counting(), model.spec.preprocess, _sources(1), {}, tmp_path)


def test_records_of_every_form_are_kept(model: Model, tmp_path: Path) -> None:
    stored = [
        {"clip": "0", "error": "broken"},
        {"clip": "1", "figures": {"ones": {"a": 1, "b": 0.5, "c": [1], "d": None}}},
        {"clip": "2", "figures": {"clip": {"right": 0.0}, "error": {"true": {"label": "text"}}}},
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in stored))
    measure = Counting()
    assert measure_clips(measure, model.spec.preprocess, _sources(3), {}, tmp_path) == stored
    assert measure.measured == []


def test_an_interrupted_run_goes_on_and_a_cut_off_line_is_measured_again(model: Model, tmp_path: Path) -> None:
    first = measure_clips(Counting(), model.spec.preprocess, _sources(2), {"seed": 1}, tmp_path)
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"clip": "2", "figu')
    again = Counting()
    records = measure_clips(again, model.spec.preprocess, _sources(4), {"seed": 1}, tmp_path)
    assert again.measured == ["2", "3"]
    assert records[:2] == first
    stored = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert stored == records


def test_records_of_other_settings_are_not_mixed(model: Model, tmp_path: Path) -> None:
    measure_clips(Counting(), model.spec.preprocess, _sources(1), {"seed": 1}, tmp_path)
    with pytest.raises(OutputError, match="records of other settings"):
        measure_clips(Counting(), model.spec.preprocess, _sources(1), {"seed": 2}, tmp_path)


def test_nothing_measured_is_an_error(model: Model) -> None:
    with pytest.raises(ClipError, match="none of the 2 clips could be measured; the first: 0 is broken"):
        measure_clips(Counting(("0", "1")), model.spec.preprocess, _sources(2), {})
