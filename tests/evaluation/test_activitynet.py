from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidcam.errors import SettingsError
from vidcam.evaluation.activitynet import (
    Annotations,
    Predictions,
    annotations_of,
    mismatches,
    read_annotations,
    read_predictions,
)
from vidcam.metrics.localization import ACTIVITYNET_TIOU, Detection, Truth, mean_average_precision


def _file(path: Path, key: str, videos: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], key: videos}))
    return path


def _truth(tmp_path: Path, **videos: Any) -> Path:
    return _file(tmp_path / "t.json", "database", videos)


def _results(tmp_path: Path, **videos: Any) -> Path:
    return _file(tmp_path / "p.json", "results", videos)


def _entry(*segments: Any, label: Any = "a", **more: Any) -> dict[str, Any]:
    return {"duration": 10.0, "annotations": [{"label": label, "segment": list(s)} for s in segments], **more}


def _found(*segments: Any, label: Any = "a", score: Any = 0.5) -> list[dict[str, Any]]:
    return [{"label": label, "segment": list(s), "score": score} for s in segments]


def _official(
    database: dict[str, Any], results: dict[str, Any], subset: str | None, thresholds: tuple[float, ...]
) -> dict[str, list[float]]:
    """ActivityNet's evaluation from the definition: class → average precision at each threshold.

    Of each class, detections come by falling score; each takes the truth of its video with the highest tIoU that is
    free, if that reaches the threshold, else it is false. All truths of the subset are positives. The average precision
    is VOC's: precision made falling from the right, summed over the steps of recall.
    """
    truths = [
        (video, a["label"], float(a["segment"][0]), float(a["segment"][1]))
        for video, entry in database.items()
        if subset in (None, entry.get("subset"))
        for a in entry.get("annotations") or []
    ]
    found: dict[str, list[float]] = {}
    for label in {t[1] for t in truths}:
        positives = [t for t in truths if t[1] == label]
        detections = [
            (video, float(d["segment"][0]), float(d["segment"][1]), d["score"])
            for video, entries in results.items()
            for d in entries
            if d["label"] == label
        ]
        order = np.argsort(np.array([d[3] for d in detections], float))[::-1]
        found[label] = []
        for threshold in thresholds:
            free = set(range(len(positives)))
            true, precision, recall = 0, [], []
            for rank, (video, start, end, _) in enumerate((detections[i] for i in order), 1):
                best, best_overlap = None, threshold
                for i in sorted(free):
                    shared = min(end, positives[i][3]) - max(start, positives[i][2])
                    if positives[i][0] != video or shared <= 0:
                        continue
                    overlap = shared / (positives[i][3] - positives[i][2] + end - start - shared)
                    if overlap >= best_overlap:
                        best, best_overlap = i, overlap
                if best is not None:
                    free.remove(best)
                    true += 1
                precision.append(true / rank)
                recall.append(true / len(positives))
            area, before = 0.0, 0.0
            for i, r in enumerate(recall):
                area += (r - before) * max(precision[i:])
                before = r
            found[label].append(area)
    return found


_seconds = st.integers(0, 12) | st.sampled_from([0.5, 2.25, 7.125, "3.5", "6"])
_segments = st.tuples(_seconds, _seconds)  # of no length, with the end first and past the end among them
_annotations = st.lists(st.tuples(st.sampled_from("abc"), _segments), max_size=5)
_databases = st.dictionaries(
    st.sampled_from("uvwx"), st.tuples(st.sampled_from(["training", "validation"]), _annotations), min_size=1
)
_scores = st.sampled_from([0.1, 0.5, 0.5, 1]) | st.floats(-5, 5)
_predicted = st.dictionaries(
    st.sampled_from("uvwxyz"), st.lists(st.tuples(st.sampled_from("abcd"), _segments, _scores), max_size=6)
)


@pytest.mark.slow
@given(_databases, _predicted, st.sampled_from([None, "validation"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_give_the_figures_of_activitynets_evaluation(
    tmp_path: Path, drawn: dict[str, Any], predicted: dict[str, Any], subset: str | None
) -> None:
    database = {
        video: {"subset": own, "duration": 10, "annotations": [{"label": c, "segment": s} for c, s in annotations]}
        for video, (own, annotations) in drawn.items()
    }
    results = {v: [{"label": c, "segment": s, "score": p} for c, s, p in found] for v, found in predicted.items()}
    truth, prediction = _truth(tmp_path, **database), _results(tmp_path, **results)
    expected = _official(database, results, subset, ACTIVITYNET_TIOU)
    if not expected:
        with pytest.raises(SettingsError, match="annotates nothing"):
            read_annotations(truth, subset)
        return
    found = mean_average_precision(read_annotations(truth, subset).truths, read_predictions(prediction).detections)
    assert set(found.labels) == set(expected)
    np.testing.assert_allclose(found.average_precision, [expected[label] for label in found.labels], atol=1e-9)


def test_truths_of_a_subset_overlapping_ones_included(tmp_path: Path) -> None:
    path = _truth(tmp_path, v=_entry((0, 5), (4.5, 9), subset="validation"), w=_entry((1, 2), subset="training"))
    truths = [Truth("v", "a", 0, 5), Truth("v", "a", 4.5, 9)]
    assert read_annotations(path, "validation") == Annotations(truths, {"v": 10}, "validation", ())
    assert read_annotations(path).truths == [*truths, Truth("w", "a", 1, 2)]
    with pytest.raises(SettingsError, match="nothing in subset testing; its subsets are training, validation"):
        read_annotations(path, "testing")


def test_a_truth_of_no_length_is_a_positive_that_no_detection_hits(tmp_path: Path) -> None:
    found = read_annotations(_truth(tmp_path, v=_entry((0, 0), (2, 4))))
    assert found.truths == [Truth("v", "a", 0, 0), Truth("v", "a", 2, 4)]
    assert [w.split(": ", 1)[1] for w in found.warnings] == [
        "1 segment of no length, which no detection can hit; the first: v [0, 0]"
    ]
    predicted = read_predictions(_results(tmp_path, v=[*_found((0, 0), score=0.9), *_found((2, 4))]))
    assert "1 segment of no length, counted as false; the first: v [0, 0]" in predicted.warnings[0]
    assert mean_average_precision(found.truths, predicted.detections).average == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("entry", "truth", "warning"),
    [
        (_entry((5, 2)), (5, 2), r"1 segment with the end before the start, .*; the first: v \[5, 2\]"),
        (_entry((5, 15)), (5, 15), r"1 segment outside the video; the first: v \[5, 15\] of 10 s"),
        (_entry((-1, 5)), (-1, 5), r"1 segment outside the video; the first: v \[-1, 5\] of 10 s"),
        (_entry((-1, 5), duration=None), (-1, 5), r"1 segment outside the video; the first: v \[-1, 5\]$"),
        (
            _entry((12, 15), duration="13.5"),
            (12, 15),
            r"1 segment outside the video; the first: v \[12, 15\] of 13.5 s",
        ),
        (_entry(("0", 5)), (0, 5), r"1 segment written as text, read as seconds; the first: v \['0', 5\]"),
        (_entry((1, 5), duration="9.5"), (1, 5), "1 duration written as text, read as seconds; the first: v '9.5'"),
        (_entry((1, 99), duration=None), (1, 99), r"1 video without a duration in seconds, .*: v \(duration None\)"),
        (_entry((1, 99), duration="long"), (1, 99), r"1 video without a duration .*: v \(duration 'long'\)"),
        (_entry((1, 5), duration=float("nan")), (1, 5), r"1 video without a duration .*: v \(duration nan\)"),
        (_entry((1, 5), duration=10**400), (1, 5), r"1 video without a duration"),
        (_entry((1, 5), duration=True), (1, 5), r"1 video without a duration"),
    ],
)
def test_truths_that_are_read_with_a_warning(
    tmp_path: Path, entry: dict[str, Any], truth: tuple[float, float], warning: str
) -> None:
    found = read_annotations(_truth(tmp_path, v=entry))
    assert found.truths == [Truth("v", "a", *truth)]
    with pytest.raises(AssertionError, match=warning):
        raise AssertionError("\n".join(found.warnings))


def test_a_truth_may_end_a_second_after_its_video_without_a_warning(tmp_path: Path) -> None:
    found = read_annotations(_truth(tmp_path, v=_entry((1, 11)), w=_entry((1, 11.5)), x=_entry((1, 11.01), (3, 12))))
    assert len(found.truths) == 4 and len(found.warnings) == 1
    assert "3 segments outside the video; the first: w [1, 11.5] of 10 s" in found.warnings[0]


def test_videos_without_annotations_and_subsets_are_counted(tmp_path: Path) -> None:
    videos = {
        "t1": {"subset": "validation", "duration": 5, "annotations": []},
        "t2": {"subset": "validation", "duration": 5, "annotations": None},
        "t3": {"subset": "validation", "duration": 5},
        "u": _entry((0, 1)),
        "v": _entry((0, 1), subset="validation"),
        "w": _entry((0, 1), subset=5),
        "x": _entry((0, 1), subset="training"),
    }
    found = read_annotations(_truth(tmp_path, **videos), "validation")
    assert found.truths == [Truth("v", "a", 0, 1)] and found.durations == {"t1": 5, "t2": 5, "t3": 5, "v": 10}
    assert [w.split(": ", 1)[1] for w in found.warnings] == [
        "3 videos without annotations; the first: t1",
        "2 videos without a subset, left out; the first: u",
    ]


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    for path, read in ((_truth(tmp_path, v=_entry((0, 1))), read_annotations), (_results(tmp_path), read_predictions)):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert read(path).warnings == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (_entry((float("nan"), 5)), r"v has the segment \[nan, 5\]; give \[start, end\]"),
        (_entry((0, float("inf"))), "has the segment"),
        (_entry(("0:05", "0:10")), "has the segment"),
        (_entry((0, None)), "has the segment"),
        (_entry((0, 10**400)), "has the segment"),
        (_entry((False, True)), "has the segment"),
        (_entry((0, 1, 2)), "has the segment"),
        ({"annotations": [{"label": "a"}]}, "has the segment None"),
        ({"annotations": [{"segment": [0, 5]}]}, "v has a segment with label None"),
        ({"annotations": [{"segment": [0, 5], "label": ["a"]}]}, "v has a segment with label"),
        ({"annotations": "none"}, "no list of segments with labels"),
        ({"annotations": {}}, "no list of segments with labels"),
        ({"annotations": [5]}, "no list of segments with labels"),
        ({"annotations": [], "subset": [1]}, "annotates nothing"),
        ([1], r"v is \[1\]; give its duration"),
        (None, r"v is None; give its duration"),
    ],
)
def test_truths_that_are_refused(tmp_path: Path, entry: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read_annotations(_truth(tmp_path, v=entry))
    assert len(str(caught.value)) < 1000


def test_names_in_messages_are_printable_and_short(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"v\\x1b") as caught:
        read_annotations(_truth(tmp_path, **{"v\x1b" * 1000: 5}))
    assert len(str(caught.value)) < 1000


def test_a_video_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    entry = json.dumps(_entry((0, 1)))
    (tmp_path / "t.json").write_text(f'{{"database": {{"v": {entry}, "w": {entry}, "v": {entry}}}}}')
    with pytest.raises(SettingsError, match="has the name 'v' twice"):
        read_annotations(tmp_path / "t.json")


@pytest.mark.parametrize("score", [float("nan"), None, "0.9", "high", True, [1], float("inf"), 10**400])
def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, score: Any) -> None:
    with pytest.raises(SettingsError, match=r"v has a detection with score .*; give a number"):
        read_predictions(_results(tmp_path, v=_found((0, 1), score=score)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("[]", "has no 'results' by video"),
        ('{"results": {"v": [{"label": "a", "segment": [0, 1]}]}}', "has a detection with score None"),
        ('{"results": {"v": [{"label": "a", "segment": [0], "score": 1}]}}', r"p\.json: v has the segment \[0\]"),
        ('{"results": {"v": [{"label": "a", "segment": [NaN, 1], "score": 1}]}}', "has the segment"),
        ('{"results": {"v": [{"label": null, "segment": [0, 1], "score": 1}]}}', "with label None"),
        ('{"results": {"v": null}}', "v holds no list"),
    ],
)
def test_detections_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_predictions(tmp_path / "p.json")


def test_detections_that_are_read_with_a_warning(tmp_path: Path) -> None:
    found = read_predictions(_results(tmp_path, v=_found((2, 1), ("1", "2"), (3, 3), (4, 4), label=5)))
    assert found.detections == [Detection("v", "5", *t, 0.5) for t in ((2, 1), (1, 2), (3, 3), (4, 4))]
    assert [w.split(": ", 1)[1] for w in found.warnings] == [
        "1 segment with the end before the start, counted as false; the first: v [2, 1]",
        "1 segment written as text, read as seconds; the first: v ['1', '2']",
        "2 segments of no length, counted as false; the first: v [3, 3]",
    ]


def test_an_empty_prediction_file_holds_no_detections(tmp_path: Path) -> None:
    assert read_predictions(_results(tmp_path)) == Predictions([], ())


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "\x00", '{"results": {"v": [5]}}', '{"database": 5}'])
def test_annotations_that_are_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    for read in (read_annotations, read_predictions):
        with pytest.raises(SettingsError):
            read(tmp_path / "t.json")
        with pytest.raises(SettingsError, match="cannot be read"):
            read(Path("/dev/zero"))


def test_annotations_that_belong_to_another_clip(tmp_path: Path) -> None:
    truths = [Truth("v_abcd", "a", 0, 5)]
    assert annotations_of("v_abcd", 4.5, truths, tmp_path) == truths == annotations_of("v_abcd", 4, truths, tmp_path)
    with pytest.raises(SettingsError, match="annotates no 'abcd'; it has v_abcd; name the clip"):
        annotations_of("abcd", 10, truths, tmp_path)
    with pytest.raises(SettingsError, match=r"until 5 s, the clip ends at 3\.5 s"):
        annotations_of("v_abcd", 3.5, truths, tmp_path)


def _annotated(*truths: Truth, subset: str | None = None, **durations: float) -> Annotations:
    return Annotations(list(truths), {**{t.video: 10.0 for t in truths}, **durations}, subset, ())


def _mismatches(annotated: Annotations, *detections: tuple[str, str]) -> tuple[str, ...]:
    return mismatches(annotated, Predictions([Detection(v, c, 1, 2, 0.5) for v, c in detections], ()))


@pytest.mark.parametrize("wrong", ["v_abc123", "abc123.mp4", "clips/abc123.mp4", "ABC123", "abc123 "])
def test_predicted_videos_that_are_all_unknown_are_refused(wrong: str) -> None:
    annotated = _annotated(Truth("zzz", "run", 0, 1), Truth("abc123", "run", 0, 1), subset="validation")
    message = f"0 of 2 predicted videos are annotated in subset validation; the truth has e.g. 'abc123', the predictions '{wrong}'"
    with pytest.raises(SettingsError, match=message):
        _mismatches(annotated, (wrong, "run"), (wrong, "run"), ("other", "run"))
    with pytest.raises(SettingsError, match="0 of 1 predicted video is annotated in"):
        _mismatches(annotated, (wrong, "run"))
    with pytest.raises(SettingsError, match=r"the truth has e\.g\. 'zzz', the predictions '56'"):
        _mismatches(annotated, ("56", "run"))


@pytest.mark.parametrize("wrong", ["Long jump", "long_jump", "LongJump", " long jump", "longjump"])
def test_predicted_labels_that_are_all_unknown_are_refused(wrong: str) -> None:
    annotated = _annotated(Truth("v", "run", 0, 1), Truth("v", "long jump", 0, 1))
    message = f"0 of 1 predicted label is in the truth; label '{wrong}' is not in the truth; nearest: long jump"
    with pytest.raises(SettingsError, match=message):
        _mismatches(annotated, ("v", wrong), ("v", wrong))
    with pytest.raises(SettingsError, match=r"0 of 2 predicted labels are in the truth; label '7' .*; it has e.g. run"):
        _mismatches(annotated, ("v", "7"), ("v", "8"))


def test_what_has_no_counterpart_is_counted() -> None:
    annotated = _annotated(*(Truth(v, c, 0, 1) for v in "vw" for c in ("run", "sit")), empty=5.0)
    assert _mismatches(annotated, *((v, c) for v in "vw" for c in ("run", "sit"))) == ()
    found = _mismatches(annotated, ("v", "run"), ("v", "Run"), ("v", "Run"), ("v_w", "run"), ("empty", "run"))
    assert found == (
        "1 of 3 predicted videos not annotated; the detections there are false; the first: 'v_w'",
        "1 of 2 predicted labels not in the truth; 2 detections left out; label 'Run' is not in the truth; nearest: run",
        "1 of 2 annotated videos without detections; the annotations there are missed; give a subset if the "
        "predictions are of one; the first: 'w'",
        "1 of 2 annotated classes without detections; average precision 0; the first: 'sit'",
    )
    assert len(_mismatches(annotated)) == 2 and "2 of 2 annotated videos without" in _mismatches(annotated)[0]


def test_detections_outside_their_video_are_counted() -> None:
    segments = [(0, 11), (0, 11.5), (-0.5, 2), (20, 30)]
    predictions = Predictions([Detection("v", "run", *s, 0.5) for s in segments], ())
    (found,) = mismatches(_annotated(Truth("v", "run", 0, 1)), predictions)
    assert found == "3 detections outside the video; the first: v [0, 11.5]"
