from __future__ import annotations

import json
import resource
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.conftest import localization
from tests.results.test_explanation import explanation
from vidcam.errors import OutputError
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import Explanation
from vidcam.results.stored import load_explanation
from vidcam.temporal.motion import MotionShare, no_motion_share


def test_what_is_not_an_explanation(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no explanation that can be read"):
        load_explanation(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    np.savez(tmp_path / "explanation.npz", maps=np.ones(3))
    with pytest.raises(OutputError, match="holds no explanation that can be read"):
        load_explanation(tmp_path)


def _stored(folder: Path, facts: Mapping[str, Any] = {}, **arrays: np.ndarray) -> Explanation:
    """The two files of a small explanation, with other facts or arrays in them."""
    found = explanation(np.ones((3, 2, 2)))
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({**found.summary(), **facts}))
    np.savez_compressed(folder / "explanation.npz", **{**found.arrays(), **arrays})  # type: ignore[arg-type]
    return found


def test_an_explanation_reads_back(tmp_path: Path) -> None:
    found, again = _stored(tmp_path), load_explanation(tmp_path)
    assert again.summary() == found.summary() and (again.target, again.top) == (found.target, found.top)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name))


@pytest.mark.parametrize("resize", [128, (128, 171)])
def test_the_preprocessing_reads_back(tmp_path: Path, resize: int | tuple[int, int]) -> None:
    given = {
        "resize": resize,
        "crop": (112, 96),
        "mean": (0.43, 0.39, 0.38),
        "std": (0.2,) * 3,
        "scale": 1 / 255,
        "bgr": True,
    }
    _stored(tmp_path, {"preprocess": given})
    assert load_explanation(tmp_path).preprocess == given
    summary = json.loads((tmp_path / "summary.json").read_text())
    del summary["preprocess"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert load_explanation(tmp_path).preprocess is None, "written before it was stored"
    _stored(tmp_path, {"preprocess": {**given, "crop": [0, 0]}})
    with pytest.raises(OutputError, match=r"holds no explanation that can be read.*preprocess"):
        load_explanation(tmp_path)


def test_a_row_of_a_corpus_that_failed_says_why(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"error": "clip.mp4 does not exist", "error_kind": "ClipError"}))
    with pytest.raises(
        OutputError, match=r"a row of a corpus that failed.*\(clip.mp4 does not exist\).*--retry-failed"
    ):
        load_explanation(tmp_path)
    for other in ("[", "[]", "{}"):
        (tmp_path / "result.json").write_text(other)
        with pytest.raises(OutputError, match=r"it has no summary\.json"):
            load_explanation(tmp_path)
    with pytest.raises(OutputError, match="there is no such directory"):
        load_explanation(tmp_path / "nowhere")


def test_the_directory_of_a_localization(tmp_path: Path) -> None:
    localization(Path("clip.mp4"), 40, (96, 128)).save(tmp_path)
    with pytest.raises(
        OutputError, match=r"holds a localization, not an explanation; read its segments from segments\.json"
    ):
        load_explanation(tmp_path)


def test_the_drawing_reads_back_and_is_checked(tmp_path: Path) -> None:
    drawing = Drawing("cividis", 0.5, 2.0, "contours", "gif,png", 320, 12.5, True)
    _stored(tmp_path, {"drawing": vars(drawing)})
    assert load_explanation(tmp_path).drawing == drawing
    _stored(tmp_path, {"drawing": {}})
    assert load_explanation(tmp_path).drawing == Drawing(), "written before there were such settings"
    for wrong, message in (
        ({"colormap": "jet"}, "there is no colormap 'jet'"),
        ({"film_width": 1e9}, "film_width"),
        ({"a": 1}, "a"),
    ):
        _stored(tmp_path, {"drawing": wrong})
        with pytest.raises(OutputError, match=f"holds no explanation that can be read.*{message}"):
            load_explanation(tmp_path)


MOTION = MotionShare(
    0.5, 0.25, 0.75, 0.5, "", np.array([0.5]), np.array([[0.25, 0.75]]), np.array([0.5, 0.25, np.nan]), (("b", 1),)
)


@pytest.mark.parametrize("motion", [MOTION, no_motion_share("it is a value", 1, 3)], ids=["share", "none"])
def test_an_explanation_of_motion_reads_back(tmp_path: Path, motion: MotionShare) -> None:
    found = explanation(np.ones((3, 2, 2)), kind="motion", scale=(2.0, 1.5), motion=motion)
    (tmp_path / "summary.json").write_text(json.dumps(found.summary()))
    np.savez_compressed(tmp_path / "explanation.npz", **found.arrays())  # type: ignore[arg-type]
    again = load_explanation(tmp_path)
    assert again.summary() == found.summary() and again.motion is not None
    assert (again.kind, again.peak, again.highest) == ("motion", 2.0, 1.5)
    for name, value in vars(motion).items():
        np.testing.assert_array_equal(getattr(again.motion, name), value)


def test_motion_that_cannot_be(tmp_path: Path) -> None:
    found = explanation(np.ones((3, 2, 2)), kind="motion", motion=MOTION)
    np.savez_compressed(tmp_path / "explanation.npz", **found.arrays())  # type: ignore[arg-type]
    good = found.summary()
    for changes, message in (
        ({"motion": None}, "it is of motion and has no motion share"),
        ({"kind": "sound"}, "kind"),
        ({"scale": [-1.0, 1.0]}, r"scale\.0"),
        ({"motion": {**good["motion"], "share": 1.5}}, r"motion\.share"),
        ({"motion": {**good["motion"], "share": None}}, "neither a share with its range nor a reason"),
        ({"motion": {**good["motion"], "windows": []}}, "of another number of windows"),
    ):
        (tmp_path / "summary.json").write_text(json.dumps({**good, **changes}))
        with pytest.raises(OutputError, match=message):
            load_explanation(tmp_path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"size": [12]}, "size"),
        ({"size": [12, "16"]}, r"size\.1"),
        ({"size": [10**9, 16]}, r"size\.0"),
        ({"region": [0, 0, 0, 12]}, "the region is empty"),
        ({"region": [0, 0, float("nan"), 12]}, r"region\.2"),
        ({"target": {"index": "1", "label": "a", "probability": 0.5}}, r"target\.index"),
        ({"target": {"index": 1, "label": "a", "probability": float("inf")}}, r"target\.probability"),
        ({"top": [1]}, r"top\.0"),
        ({"windowing": {"length": 1e300}}, "windowing"),
        ({"clip": None}, "clip"),
        ({"stretch": "ab"}, "stretch"),
        ({"warnings": "abc"}, "warnings"),
        ({"timings": {"a": "x" * 10**6}}, "timings"),
    ],
)
def test_facts_that_cannot_be(tmp_path: Path, facts: dict[str, Any], message: str) -> None:
    _stored(tmp_path, facts)
    with pytest.raises(OutputError, match=message) as caught:
        load_explanation(tmp_path)
    assert len(str(caught.value)) < 1000


PREPROCESS = {"resize": [128, 171], "crop": [112, 112], "mean": [0.5] * 3, "std": [0.2] * 3, "scale": 1.0, "bgr": False}
WINDOWING = {"length": 3, "stride": 1, "sampling_rate": 1}
TARGET = {"index": 1, "label": "a", "probability": 0.5}


@pytest.mark.parametrize(
    ("edited", "message"),
    [
        ({"preprocess": {**PREPROCESS, "resize": [112, 112], "crop": [500, 500]}}, r"crop \(500, 500\) is larger"),
        ({"preprocess": {**PREPROCESS, "resize": 100}}, r"crop \(112, 112\) is larger"),
        ({"preprocess": {**PREPROCESS, "std": [0.2, 0.0, 0.2]}}, r"std \(0\.2, 0\.0, 0\.2\)"),
        ({"preprocess": {**PREPROCESS, "scale": 0.0}}, r"scale 0\.0"),
        ({"region": [-1.0, 0.0, 16.0, 12.0]}, "outside the frame of 12 x 16 pixels"),
        ({"region": [0.0, 0.0, 16.0, 12.1]}, "outside the frame of 12 x 16 pixels"),
        ({"region": [4.0, 0.0, 4.0, 12.0]}, "the region is empty"),
        ({"target": {**TARGET, "probability": 7.5}}, r"probability 7\.5 is not from 0 to 1"),
        ({"target": {**TARGET, "probability": -0.1}}, r"probability -0\.1 is not from 0 to 1"),
        ({"top": [{"label": "a", "probability": 7.5}]}, r"top\.0\.probability"),
        ({"frame_rate": -25.0}, "frame_rate"),
        ({"windowing": {"length": 0, "stride": 0, "sampling_rate": 0}}, "length is 0; give a whole number, 1 or more"),
        ({"windowing": {**WINDOWING, "stride": 4}}, "would leave frames unexplained"),
        ({"windowing": {**WINDOWING, "rate": 0.0}}, r"windowing\.rate"),
        ({"timings": {"explain_s": -1.0}}, r"timings\.explain_s"),
        ({"frames": 80}, "summary.json is of 80 frames, and explanation.npz of 3"),
        ({"windows": 2}, "summary.json is of 2 windows, and explanation.npz of 1"),
        ({"maps": -np.ones((3, 2, 2))}, "maps holds values below 0"),
        ({"maps": np.full((3, 2, 2), np.inf)}, "maps holds values that are not finite"),
        ({"evidence": np.array([1.0, -1.0, 1.0])}, "evidence holds values below 0"),
        ({"scores": np.array([0.5, 7.5, 0.5])}, "scores holds values below 0 or above 1"),
        ({"window_scores": np.array([7.5])}, "window_scores holds values below 0 or above 1"),
        ({"window_starts": np.array([3])}, "window_starts holds numbers that are no frames of the clip"),
        ({"times": np.array([0.0, 0.2, 0.1])}, "times do not rise"),
        ({"times": np.array([0, 2, 1], np.uint8)}, "times do not rise"),
        ({"times": np.array([0.0, 0.1, 0.1])}, "times do not rise"),
    ],
)
def test_values_that_cannot_be_true(tmp_path: Path, edited: dict[str, Any], message: str) -> None:
    arrays = {name: value for name, value in edited.items() if isinstance(value, np.ndarray)}
    _stored(tmp_path, {name: value for name, value in edited.items() if name not in arrays}, **arrays)
    with pytest.raises(OutputError, match=f"holds no explanation that can be read .*{message}"):
        load_explanation(tmp_path)


def test_values_at_the_ends_of_what_can_be_true(tmp_path: Path) -> None:
    """Rounding puts a mean of probabilities above 1; a frame may be seen whole, and a value is no probability."""
    above = np.nextafter(np.float32(1), np.float32(2))
    facts = {"preprocess": {**PREPROCESS, "resize": 112}, "region": [0.0, 0.0, np.nextafter(16.0, 17.0), 12.0]}
    scores = {"scores": np.array([0.0, above, 1.0], np.float32), "window_scores": np.array([above])}
    _stored(tmp_path, {**facts, "target": {**TARGET, "probability": float(above)}}, **scores)
    assert load_explanation(tmp_path).target.probability == above
    for target in (
        {"index": 1, "label": "age", "probability": None, "value": 29.5, "unit": "years"},
        {"index": None, "label": "function", "probability": 29.5},  # as 0.1 stored it
    ):
        _stored(tmp_path, {"target": target}, scores=np.array([29.5, -1.0, 30.0]), window_scores=np.array([29.5]))
        assert load_explanation(tmp_path).target.value == 29.5


def test_a_file_of_0_1_lacks_fields(tmp_path: Path) -> None:
    """It has neither the numbers of frames and windows that are compared, nor what came with 0.2."""
    _stored(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    later = ("frames", "windows", "frame_rate", "frame_rate_from", "stretch", "fingerprint", "kind", "scale", "motion")
    for name in (*later, "preprocess", "check", "drawing"):
        del summary[name]
    del summary["target"]["value"], summary["target"]["unit"], summary["windowing"]["rate"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    again = load_explanation(tmp_path)
    assert (again.frames, again.frame_rate, again.preprocess, again.target.probability) == (3, 0.0, None, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"times": np.zeros(2)}, "in place of"),
        ({"maps": np.ones((3, 2), np.float32)}, "should have 3 axes"),
        ({"maps": np.ones((3, 0, 2), np.float32)}, r"maps has shape \(3, 0, 2\); it holds nothing"),
        ({"scores": np.array(["a", "b", "c"])}, "should hold numbers"),
        ({"scores": np.array([1, None, 2])}, "should hold numbers"),
        ({"scores": np.array([1, np.nan, 2])}, "not finite"),
        ({"more": np.zeros(1)}, "it should hold"),
        ({"maps": np.zeros((3, 20_000, 20_000), np.uint8)}, "if you trust it, pass most=BYTES"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    _stored(tmp_path, **arrays)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutputError, match=message):
        load_explanation(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


@pytest.mark.parametrize("axis", ["F", "W", "h", "w"])
def test_arrays_that_hold_nothing(tmp_path: Path, axis: str) -> None:
    """No frames, no windows, or maps without cells."""
    lengths = {"F": 3, "W": 1, "h": 2, "w": 2, axis: 0}
    axes = {"times": "F", "maps": "Fhw", "scores": "F", "evidence": "F", "window_starts": "W", "window_scores": "W"}
    _stored(tmp_path, **{name: np.ones([lengths[letter] for letter in letters]) for name, letters in axes.items()})
    with pytest.raises(OutputError, match=r"holds no explanation that can be read.*; it holds nothing"):
        load_explanation(tmp_path)


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    found = _stored(tmp_path)
    claim = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12}, 2, 2), }}".ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "explanation.npz", "w") as archive:
        for name in found.arrays():
            archive.writestr(f"{name}.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(claim)) + claim.encode())
    with pytest.raises(OutputError, match="does not have"):
        load_explanation(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + bytes(50) + data[250:],
        lambda data: data.replace(b"PK\1\2", b"PK\1\3"),
        lambda data: b"x" + data,
    ],
)
def test_a_damaged_archive(tmp_path: Path, damage: Any) -> None:
    _stored(tmp_path)
    path = tmp_path / "explanation.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OutputError, match="holds no explanation that can be read"):
        load_explanation(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "1" * 5000, '{"clip": "\\ud800"}', "\x00"])
def test_a_damaged_summary(tmp_path: Path, text: str) -> None:
    _stored(tmp_path)
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(OutputError, match="holds no explanation that can be read"):
        load_explanation(tmp_path)
