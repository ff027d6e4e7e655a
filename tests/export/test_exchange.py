from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pympi
import pytest
import srt
from pydantic import BaseModel, ConfigDict, PositiveInt

from tests.conftest import numbered, write_video
from vidcam.errors import OutputError, SettingsError
from vidcam.export.exchange import SEGMENTS, TUBES, files_of, tools_named
from vidcam.export.results import write_localization
from vidcam.export.tubes import save_tubes
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.localization import Localization
from vidcam.temporal.segments import Segment
from vidcam.temporal.tubes import Tube
from vidcam.video.windows import Windowing

LABEL = "waving & <bowing>"
SAFE = LABEL
SEGMENTS_FOUND = (Segment(2.0, 3.52, LABEL, 0.9), Segment(2.1, 3.4, LABEL, 0.5), Segment(0.4, 1.2, "kicking", 0.75))


@pytest.fixture
def found() -> Localization:
    """100 frames at 25 per second."""
    return Localization(
        clip="a clip.mp4", model="m", layer="l", method="gradcam", region=(0, 0, 64, 48), windowing={}, times=np.arange(100) / 25,
        frame_rate=25.0, labels=(LABEL, "kicking"), scores=np.zeros((2, 100)), evidence=np.zeros((2, 100)),
        maps=np.zeros((2, 100, 4, 4)), curve="score", segments=SEGMENTS_FOUND,
    )  # fmt: skip


@pytest.fixture
def explained(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    """20 frames at 10 per second, from the fifth second of a file on."""
    clip = write_video(tmp_path_factory.mktemp("clip") / "a clip.mp4", [numbered(i, 48, 64) for i in range(70)])
    return Explanation(
        clip=str(clip), model="m", layer="l", method="gradcam", region=(0, 0, 64, 48), times=5 + np.arange(20) / 10,
        stretch=(5.0, None), frame_rate=10.0, target=ExplainedTarget(0, LABEL, 0.9), top=((LABEL, 0.9),), size=(48, 64),
        scores=np.ones(20), evidence=np.ones(20), maps=np.ones((20, 4, 4), np.float32), weights="default",
        window_starts=np.array([0]), window_scores=np.ones(1), windowing=Windowing(16, 8, 1),
    )  # fmt: skip


TUBE = Tube(LABEL, 0.625, 3, np.array([[8, 12, 24, 36], [10, 12, 26, 36], [12, 12, 28, 48]], float))


class _TemporalDetection(BaseModel):
    """A label in a `FiftyOneTemporalDetectionDataset`, as FiftyOne's pages on the import of data sets give it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    label: int | str
    confidence: float | None = None
    support: tuple[PositiveInt, PositiveInt] | None = None
    timestamps: tuple[float, float] | None = None
    attributes: dict[str, Any] = {}


class _TemporalDetections(BaseModel):
    """The file of those labels, by the name of the video without its ending."""

    model_config = ConfigDict(extra="forbid", strict=True)
    classes: list[str] | None = None
    labels: dict[str, list[_TemporalDetection]]


def test_elan_opens_the_segments(found: Localization, tmp_path: Path) -> None:
    SEGMENTS["elan"][1](found, tmp_path / "s.eaf")
    document = pympi.Elan.Eaf(tmp_path / "s.eaf")
    assert set(document.get_tier_names()) == {SAFE, "kicking"}
    assert document.get_annotation_data_for_tier(SAFE) == [(2000, 3520, "0.900")]
    assert document.get_annotation_data_for_tier("kicking") == [(400, 1200, "0.750")]


def test_elan_knows_the_clip_that_is_a_file(found: Localization, tmp_path: Path) -> None:
    (tmp_path / "ü clip.mp4").touch()
    SEGMENTS["elan"][1](replace(found, clip=str(tmp_path / "ü clip.mp4")), tmp_path / "s.eaf")
    (medium,) = pympi.Elan.Eaf(tmp_path / "s.eaf").get_linked_files()
    assert medium["MEDIA_URL"] == (tmp_path / "ü clip.mp4").as_uri()


def test_subtitles_are_read(found: Localization, tmp_path: Path) -> None:
    SEGMENTS["srt"][1](found, tmp_path / "s.srt")
    read = list(srt.parse((tmp_path / "s.srt").read_text(encoding="utf-8")))
    spans = [(s.index, s.start.total_seconds(), s.end.total_seconds(), s.content) for s in read]
    assert spans == [(1, 0.4, 1.2, "kicking (confidence 0.75)"), (2, 2.0, 3.52, f"{SAFE} (confidence 0.90)")]


def test_segments_for_fiftyone_are_frames_of_the_file(found: Localization, tmp_path: Path) -> None:
    SEGMENTS["fiftyone"][1](found, tmp_path / "s.json")
    stored = _TemporalDetections.model_validate_json((tmp_path / "s.json").read_text())
    best, other = stored.labels["a clip"]
    assert stored.classes == [SAFE, "kicking"]
    assert (best.label, best.confidence, best.support) == (0, 0.9, (51, 88))  # frame 88 is shown until 3.52 s
    assert (other.label, other.confidence, other.support) == (1, 0.75, (11, 30))
    frames = [numbered(i, 48, 64) for i in range(300)]
    clip = write_video(tmp_path / "a clip.mp4", frames, time_base=Fraction(1, 25))
    later_found = replace(found, clip=str(clip), stretch=(8.0, None), times=8 + found.times)
    SEGMENTS["fiftyone"][1](later_found, tmp_path / "t.json")
    later, _ = _TemporalDetections.model_validate_json((tmp_path / "t.json").read_text()).labels["a clip"]
    assert later.support is not None
    assert later.support[0] == 8 * 25 + 1  # the segment lies before the stretch: its first frame


def test_segments_for_label_studio(found: Localization, tmp_path: Path) -> None:
    SEGMENTS["label-studio"][1](found, tmp_path / "s.json")
    (task,) = json.loads((tmp_path / "s.json").read_text())
    first, second = task["predictions"][0]["result"]
    assert task["data"] == {"video": "a clip.mp4"} and first["score"] == 0.9
    assert first["value"] == {"ranges": [{"start": 51, "end": 88}], "timelinelabels": [SAFE]}
    assert second["value"]["ranges"] == [{"start": 11, "end": 30}]
    view = ET.parse(tmp_path / "s.xml").getroot()
    tag, video = view
    assert (tag.tag, tag.attrib, video.attrib["frameRate"]) == (
        "TimelineLabels",
        {"name": first["from_name"], "toName": "video"},
        "25",
    )
    assert [label.attrib["value"] for label in tag] == [SAFE, "kicking"]


def test_tubes_for_label_studio_are_percent_of_the_frame(explained: Explanation, tmp_path: Path) -> None:
    TUBES["label-studio"][1](explained, [TUBE], tmp_path / "t.json")
    (task,) = json.loads((tmp_path / "t.json").read_text())
    (region,) = task["predictions"][0]["result"]
    assert region["value"]["labels"] == [SAFE] and region["value"]["framesCount"] == 70
    first, _, last = region["value"]["sequence"]
    assert first == {
        "frame": 54,
        "time": 5.3,
        "x": 12.5,
        "y": 25,
        "width": 25,
        "height": 50,
        "rotation": 0,
        "enabled": True,
    }
    assert last["frame"] == 56 and last["height"] == 75 and last["enabled"] is False
    assert [tag.tag for tag in ET.parse(tmp_path / "t.xml").getroot()] == ["VideoRectangle", "Labels", "Video"]


def test_tubes_and_segments_for_label_studio_count_the_same_frames(
    found: Localization, explained: Explanation, tmp_path: Path
) -> None:
    """It has one rate: after a gap, in a clip that begins late, and where the rate varies, a frame is a time at that rate."""
    times = np.r_[5 + np.arange(10) / 10, 8 + np.arange(10) / 40]  # the last ones four in a frame of Label Studio
    gap = replace(explained, stretch=(None, None), times=times)
    TUBES["label-studio"][1](gap, [replace(TUBE, start=9)], tmp_path / "t.json")
    segment = Segment(5.9, 8.05, LABEL, 0.9)
    SEGMENTS["label-studio"][1](replace(found, frame_rate=10.0, times=times, segments=(segment,)), tmp_path / "s.json")
    tube, cut = (
        json.loads((tmp_path / name).read_text())[0]["predictions"][0]["result"][0]["value"]
        for name in ("t.json", "s.json")
    )
    boxes = [(box["frame"], box["time"], box["enabled"]) for box in tube["sequence"]]
    assert boxes == [(60, 5.9, True), (81, 8.025, False)]  # that of 8.0 s is in the same frame
    assert cut["ranges"] == [{"start": 60, "end": 80}] and tube["framesCount"] == 82


def test_tubes_for_cvat_are_tracks_that_end(explained: Explanation, tmp_path: Path) -> None:
    TUBES["cvat"][1](explained, [TUBE], tmp_path / "t.xml")
    root = ET.parse(tmp_path / "t.xml").getroot()
    assert root.findtext("version") == "1.1" and root.findtext("meta/task/labels/label/name") == SAFE
    assert (root.findtext("meta/task/original_size/width"), root.findtext("meta/task/stop_frame")) == ("64", "69")
    (track,) = root.findall("track")
    boxes = [[box.get(name) for name in ("frame", "outside", "xtl", "ybr")] for box in track]
    assert boxes[0] == ["53", "0", "8.00", "36.00"] and [box[0] for box in boxes] == ["53", "54", "55", "56"]
    assert boxes[2:] == [["55", "0", "12.00", "48.00"], ["56", "1", "12.00", "48.00"]]
    assert track.get("label") == SAFE and track.findtext("box/attribute") == "0.625"


@pytest.mark.parametrize(("end", "hidden"), [(None, "0"), (7.0, "1")], ids=["with the file", "with the stretch"])
def test_tubes_for_cvat_have_no_box_behind_the_clip(
    explained: Explanation, tmp_path: Path, end: float | None, hidden: str
) -> None:
    """CVAT refuses a file with a frame that the task does not have."""
    TUBES["cvat"][1](replace(explained, stretch=(5.0, end)), [replace(TUBE, start=17)], tmp_path / "t.xml")
    boxes = [(box.get("frame"), box.get("outside")) for box in ET.parse(tmp_path / "t.xml").iter("box")]
    assert boxes == [("67", "0"), ("68", "0"), ("69", hidden)]


@pytest.mark.slow
def test_datumaro_reads_the_tubes_for_cvat(explained: Explanation, tmp_path: Path) -> None:
    cvat = pytest.importorskip("datumaro.plugins.data_formats.cvat.base", reason="datumaro is not installed")
    TUBES["cvat"][1](explained, [TUBE, replace(TUBE, start=17)], tmp_path / "t.xml")
    read = cvat.CvatBase(str(tmp_path / "t.xml"))
    (label,) = next(iter(read.categories().values()))
    assert label.name == LABEL and label.attributes == {"score"}
    found = {item.attributes["frame"]: item.annotations for item in read}
    assert list(found) == [53, 54, 55, 56, 67, 68, 69]
    (box,) = found[55]
    assert box.points == [12, 12, 28, 48] and box.label == 0
    assert box.attributes == {"score": 0.625, "occluded": False, "outside": False, "keyframe": True, "track_id": 0}
    assert found[56][0].attributes["outside"] and found[69][0].attributes["track_id"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("of", ["segments", "tubes"])
def test_label_studio_accepts_the_predictions(
    found: Localization, explained: Explanation, tmp_path: Path, of: str
) -> None:
    sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    if of == "segments":
        SEGMENTS["label-studio"][1](found, tmp_path / "s.json")
    else:
        TUBES["label-studio"][1](explained, [TUBE], tmp_path / "s.json")
    interface = sdk.LabelInterface((tmp_path / "s.xml").read_text(encoding="utf-8"))
    interface.validate()
    (task,) = json.loads((tmp_path / "s.json").read_text())
    (prediction,) = task["predictions"]
    assert interface.validate_task({"data": task["data"]}) and not interface.validate_task({"data": {}})
    assert interface.validate_prediction(prediction, return_errors=True) == []
    prediction["result"][0]["value"] = {}
    assert len(interface.validate_prediction(prediction, return_errors=True)) == 1


def test_tools_that_do_not_exist_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"there is no tool to export for 'elam'; .*elan"):
        tools_named("srt,elam", SEGMENTS)
    assert tools_named(None, TUBES) == ()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_tool_for_tubes_is_none_for_segments(
    found: Localization, explained: Explanation, tmp_path: Path, overwrite: bool
) -> None:
    with pytest.raises(SettingsError, match="there is no tool to export for 'cvat'"):
        write_localization(found, tmp_path, tools=("cvat",), overwrite=overwrite)
    with pytest.raises(SettingsError, match="there is no tool to export for 'elan'"):
        save_tubes(explained, [], tmp_path, tools=("elan",), overwrite=overwrite)
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_are_not_replaced(found: Localization, tmp_path: Path) -> None:
    write_localization(found, tmp_path / "a", tools=("label-studio", "srt"), report=False)
    assert {p.name for p in files_of(("label-studio", "srt"), SEGMENTS, tmp_path / "a")} <= {
        p.name for p in (tmp_path / "a").iterdir()
    }
    for name in ("segments.srt", "segments.label-studio.xml"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        with pytest.raises(OutputError, match=f"already holds {name}"):
            write_localization(found, tmp_path / name, tools=("label-studio", "srt"), report=False)
