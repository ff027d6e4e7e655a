from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from PIL import Image

from tests.conftest import numbered, write_video
from tests.export.conftest import localization
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.export import results
from vidcam.export.results import (
    draw,
    folders,
    refuse_explanations,
    store,
    write_explanations,
    write_localization,
)
from vidcam.metrics.localization import Truth
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.stored import load_explanation
from vidcam.video.reader import Clip
from vidcam.video.source import OnceSource

NAMES = ["curve.csv", "curve.png", "explanation.npz", "overlay.mp4", "summary.json"]
PTS, SIZE = [0, 1, 2, 5, 6, 9], (33, 47)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(
        tmp_path / "clip.mkv",
        [numbered(i, *SIZE) for i in range(6)],
        codec="ffv1",
        pixel_format="bgra",
        pts=PTS,
        time_base=Fraction(1, 1000),
        audio="aac",
    )


def _found(clip: Path, **changes: object) -> Explanation:
    return explanation(np.ones((6, 2, 2)), clip=clip, size=SIZE, **changes)


def _five(clip: Path) -> list[Explanation]:
    return [_found(clip, target=ExplainedTarget(n, label, 0.2)) for n, label in enumerate("abcde")]


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_everything_is_written_and_reads_back(clip: Path, tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((6, 3, 4))
    found = explanation(maps, clip=clip, size=SIZE, times=np.array([f.time for f in Clip(clip)]))
    written = found.save(tmp_path / "out" / "deep")
    assert sorted(p.name for p in (tmp_path / "out" / "deep").iterdir()) == NAMES

    again = load_explanation(tmp_path / "out" / "deep")
    assert again.summary()["target"] == {
        "index": 1, "label": "a <b>", "probability": 0.5, "value": None, "unit": "",
    }  # fmt: skip
    for name, values in found.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values)

    overlay = Clip(written.overlay)
    np.testing.assert_allclose([f.time for f in overlay], found.times, atol=1e-6)
    assert overlay.has_audio and overlay.width % 2 == overlay.height % 2 == 0
    with written.curve_csv.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "time_s", "score", "evidence"] and len(rows) == 7
    summary = json.loads(written.summary.read_text())
    assert set(summary["outputs"]) == {"overlay", "curve_png", "curve_csv", "explanation", "summary"}
    assert all(Path(p).exists() for p in summary["outputs"].values())
    assert summary["timings"]["render_s"] >= 0


def test_the_overlay_has_the_heat_of_each_frame(tmp_path: Path) -> None:
    """Heat in one frame alone, at the right, where the numbered frames are black."""
    size = (300, 400)
    path = write_video(tmp_path / "clip.mp4", [numbered(i, *size) for i in range(8)])
    maps = np.zeros((8, 1, 2))
    maps[3, 0, 1], maps[6, 0, 1] = 1, 0.5
    film = Clip(explanation(maps, clip=path, size=size).save(tmp_path / "out").overlay)
    for frame in film:
        colour = matplotlib.colormaps["inferno"]({3: 255, 6: 128}.get(frame.index, 0), bytes=True)[:3]
        expected = np.array(colour, float) * {3: 0.8, 6: 0.4}.get(frame.index, 0)
        assert np.abs(frame.pixels[100:200, 320:380].mean((0, 1)) - expected).max() < 8, frame.index
        assert frame.pixels[100:200, 20:80].mean() == pytest.approx(20 + 8 * frame.index, abs=4)


def test_the_film_of_a_stretch_begins_with_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 34, 48) for i in range(20)], audio="aac")
    found = replace(_found(path), size=(34, 48), times=1 + np.arange(6) / 10, stretch=(1.0, 1.6))
    film = Clip(found.save(tmp_path / "out").overlay)
    assert [f.time for f in film] == pytest.approx(np.arange(6) / 10, abs=1e-6) and not film.has_audio


@pytest.mark.slow
@pytest.mark.parametrize(("count", "report"), [(1, False), (1, True), (5, True)])
@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.avi", "mpeg4")])
def test_the_clip_is_decoded_once(
    tmp_path: Path, decoded: Callable[[], int], count: int, report: bool, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, [numbered(i, 34, 48) for i in range(6)], codec=codec)
    found = [replace(e, size=(34, 48)) for e in _five(path)[:count]]
    seen: list[tuple[int, int]] = []
    written = write_explanations(
        found, tmp_path / "out", report=report, progress=lambda done, of: seen.append((done, of))
    )
    assert decoded() == 6 and seen == [(n, 6) for n in range(1, 7)]
    places = [f"{n}-{label}/" for n, label in enumerate("abcde", 1)] if count > 1 else [""]
    assert _tree(tmp_path / "out") == sorted([p + n for p in places for n in NAMES] + ["report.html"] * report)
    assert written.report == (tmp_path / "out" / "report.html" if report else None)
    for place, names, e in zip(places, written.explanations, found, strict=True):
        assert names.overlay == tmp_path / "out" / place / "overlay.mp4"
        summary = json.loads(names.summary.read_text())
        assert summary["target"]["label"] == e.target.label
        assert [Path(path) for path in summary["outputs"].values()] == list(vars(names).values())


def test_each_explanation_has_its_own_heat(tmp_path: Path) -> None:
    size = (300, 400)
    path = write_video(tmp_path / "clip.mp4", [np.zeros((*size, 3), np.uint8)] * 4)
    found = []
    for column in range(3):
        maps = np.zeros((4, 1, 4))
        maps[:, 0, column] = 1
        found.append(explanation(maps, clip=path, size=size, method=f"m{column}"))
    written = write_explanations(found, tmp_path / "out")
    for column, names in enumerate(written.explanations):
        assert names.overlay.parent.name == f"m{column}"
        for frame in Clip(names.overlay):
            assert frame.pixels[150].sum(1).argmax() // 100 == column


@pytest.mark.slow
@pytest.mark.parametrize("placed", ["1-a/overlay.mp4", "5-e/overlay.png", "3-c/summary.json", "report.html"])
def test_nothing_is_overwritten_unasked(clip: Path, tmp_path: Path, decoded: Callable[[], int], placed: str) -> None:
    out = tmp_path / "out"
    (out / placed).parent.mkdir(parents=True)
    (out / placed).write_text("old")
    with pytest.raises(OutputError, match=f"already holds {placed}; pass --overwrite"):
        write_explanations(_five(clip), out)
    with pytest.raises(OutputError, match=f"already holds {placed}; pass --overwrite"):
        refuse_explanations(out, classes=5)
    assert decoded() == 0 and _tree(out) == [placed]
    write_explanations(_five(clip), out, overwrite=True)
    assert len(_tree(out)) == 26 + placed.endswith("png")


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_one_explanation_is_overwritten_unasked(clip: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("old")
    with pytest.raises(OutputError, match=f"already holds {name}; pass --overwrite"):
        _found(clip).save(tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "old"
    _found(clip).save(tmp_path / "out", overwrite=True)
    assert _tree(tmp_path / "out") == NAMES


def test_what_is_refused_before_the_network_runs(tmp_path: Path) -> None:
    for placed in ("gradcam++/overlay.mp4", "layer3/curve.csv", "7-x/gradcam++/layer3/curve.csv", "7-x/curve.csv"):
        (tmp_path / placed).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / placed).write_text("old")
    refuse_explanations(tmp_path)
    refuse_explanations(tmp_path, names=(["gradcam++"], ["whole"], ["layer3"]))
    refuse_explanations(tmp_path, names=(["gradcam", "layercam"], ["whole"], ["layer1", "layer2"]))
    methods, layers = ["gradcam++", "gradcam"], ["layer2", "layer3"]
    for kwargs, named in (
        ({"names": (methods, [], [])}, "gradcam\\+\\+/overlay.mp4"),
        ({"names": ([], [], layers)}, "layer3/curve.csv"),
        ({"classes": 3}, "7-x/curve.csv"),
        ({"classes": 3, "names": (methods, [], layers)}, "7-x/gradcam\\+\\+/layer3/curve.csv"),
    ):
        with pytest.raises(OutputError, match=f"already holds {named};"):
            refuse_explanations(tmp_path, **kwargs)  # type: ignore[arg-type]
    (tmp_path / "report.html").write_text("old")
    refuse_explanations(tmp_path, report=False)
    with pytest.raises(OutputError, match=r"report\.html"):
        refuse_explanations(tmp_path)
    with pytest.raises(OutputError, match="is a file, not a directory"):
        refuse_explanations(tmp_path / "report.html" / "out", classes=5, report=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["store", "page", "clip"])
def test_a_failure_leaves_nothing(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    found, message = _five(clip), "No space left on device"
    if part == "store":
        monkeypatch.setattr(results.np, "savez_compressed", full)
    elif part == "page":
        monkeypatch.setattr(results.Page, "write", full)
    else:
        write_video(clip, [numbered(i, *SIZE) for i in range(4)], codec="ffv1", pixel_format="bgra")
        message = "4 of 6 frames match"
    with pytest.raises((OutputError, ClipError), match=message):
        write_explanations(found, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_clip_that_changed(clip: Path, tmp_path: Path) -> None:
    found = explanation(np.ones((9, 2, 2)), clip=clip, size=SIZE)
    with pytest.raises(ClipError, match="has changed since it was explained: 6 of 9 frames match"):
        found.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_frames_that_can_be_read_once_only(tmp_path: Path) -> None:
    once = OnceSource((numbered(i, *SIZE) for i in range(6)), 10)
    with pytest.raises(ClipError, match="can be read once only; give an array, a folder or a file"):
        _found(tmp_path / "none", source=once).save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_explanations_that_do_not_go_together(clip: Path, tmp_path: Path) -> None:
    found = _found(clip)
    with pytest.raises(SettingsError, match="have the same class, method, evidence and layer"):
        write_explanations([found, replace(found, layer="other")], tmp_path / "out")
    with pytest.raises(SettingsError, match="are of different clips"):
        write_explanations([found, replace(found, clip="other", method="gradcam")], tmp_path / "out")
    with pytest.raises(SettingsError, match="there is no explanation"):
        write_explanations([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_directory_should_be(clip: Path) -> None:
    with pytest.raises(OutputError, match="is a file, not a directory"):
        _found(clip).save(clip / "out")


def test_a_picture_has_a_picture_of_its_heat(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(path)
    maps = np.zeros((1, 1, 2))
    maps[0, 0, 1] = 1
    found = [explanation(maps, clip=path, size=(300, 400), method=m) for m in ("gradcam", "gradcam++")]
    written = write_explanations(found, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / "gradcam").iterdir()} == {"overlay.png", *NAMES} - {"overlay.mp4"}
    for names in written.explanations:
        with Image.open(names.overlay) as overlay:
            pixels = np.asarray(overlay)
        colour = np.array(matplotlib.colormaps["inferno"](255, bytes=True)[:3], float)
        assert np.abs(pixels[150, 350] - (90 + 0.8 * (colour - 90))).max() <= 2 and (pixels[150, 50] == 90).all()
    with pytest.raises(OutputError, match=r"already holds overlay\.png"):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "overlay.png").write_text("")
        found[0].save(tmp_path / "other")


def test_folders_by_class_method_and_layer(clip: Path) -> None:
    found = [
        _found(clip, target=ExplainedTarget(n, label, 0.5), method=method, layer=layer)
        for n, label in enumerate(["a <b>/..", "a <b>/..c"])
        for method in ("gradcam++", "gradcam")
        for layer in ("l2,l3", "l2", "l3.1")
    ]
    places = [folder.as_posix() for folder, _ in folders(found)]
    assert places[:5] == [
        "1-a-b/gradcam++",
        "1-a-b/gradcam++/l2",
        "1-a-b/gradcam++/l3.1",
        "1-a-b/gradcam",
        "1-a-b/gradcam/l2",
    ]
    assert places[6] == "2-a-b-c/gradcam++" and len(set(places)) == 12
    assert [folder.as_posix() for folder, _ in folders(found[:1])] == ["."]
    assert [e for _, e in folders(found)] == found


def test_folders_of_kinds_of_evidence(clip: Path) -> None:
    found = [_found(clip, method=method, kind=kind) for method in ("a", "b") for kind in ("motion", "appearance")]
    assert [folder.as_posix() for folder, _ in folders(found)] == [
        "a/motion",
        "a/appearance",
        "b/motion",
        "b/appearance",
    ]
    assert [folder.as_posix() for folder, _ in folders(found[:1])] == ["."]
    (clip.parent / "motion").mkdir()
    (clip.parent / "motion" / "curve.csv").write_text("old")
    refuse_explanations(clip.parent, names=([], ["motion"], []))
    with pytest.raises(OutputError, match=r"already holds motion/curve\.csv"):
        refuse_explanations(clip.parent, names=([], ["motion", "appearance"], []))


def test_long_and_empty_names_of_folders(clip: Path) -> None:
    labels = ["w" * 100, "!?"]
    found = [
        _found(clip, target=ExplainedTarget(n, label, 0.5), method=m * 300)
        for n, label in enumerate(labels)
        for m in "ab"
    ]
    assert [folder.as_posix() for folder, _ in folders(found)] == [
        f"{name}/{m * 200}" for name in (f"1-{'w' * 60}", "2-class") for m in "ab"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["../../outside", "/etc", "..", ".", "a/../../b", "\0"])
def test_no_name_of_a_method_leads_out_of_the_directory(clip: Path, tmp_path: Path, method: str) -> None:
    """Explanations read back from a file may come from anybody."""
    out = tmp_path / "a" / "out"
    before = set(tmp_path.rglob("*"))
    written = write_explanations([_found(clip), _found(clip, method=method)], out, report=False)
    assert len(_tree(out)) == 10
    assert {p for p in set(tmp_path.rglob("*")) - before if p != tmp_path / "a" and not p.is_relative_to(out)} == set()
    assert written.explanations[1].overlay.parent.parent == out


def test_what_is_looked_at_and_what_is_computed_with(clip: Path, tmp_path: Path, decoded: Callable[[], int]) -> None:
    for part in ("drawn", "stored"):
        (tmp_path / part).mkdir()
    draw(_found(clip), tmp_path / "drawn")
    assert decoded() == 6 and _tree(tmp_path / "drawn") == ["curve.png", "overlay.mp4"]
    store(_found(clip), tmp_path / "stored", {"more": 1})
    assert decoded() == 6 and _tree(tmp_path / "stored") == ["curve.csv", "explanation.npz", "summary.json"]
    assert json.loads((tmp_path / "stored" / "summary.json").read_text())["more"] == 1


def test_a_localization_without_its_page_needs_no_clip(tmp_path: Path) -> None:
    found = localization(tmp_path / "gone.mp4", 20, SIZE)
    outputs = found.save(tmp_path / "out")
    assert _tree(tmp_path / "out") == sorted(path.name for path in vars(outputs).values())
    stored = json.loads(outputs.segments_json.read_text())["results"]["gone"]
    assert [(s["label"], s["score"], s["segment"]) for s in stored] == [
        ("waving", 0.8, [0.0, 1.0]),
        ("bowing", 0.6, [1.0, 2.0]),
    ]
    assert outputs.segments_vtt.read_text().startswith("WEBVTT")
    with pytest.raises(OutputError, match=r"already holds segments\.csv, .*timeline\.png"):
        found.save(tmp_path / "out")
    found.save(tmp_path / "out", overwrite=True)
    with pytest.raises(ClipError, match="does not exist"):
        write_localization(found, tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.avi", "mpeg4")])
def test_a_localization_and_its_page_in_one_decoding(
    tmp_path: Path, decoded: Callable[[], int], monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, [numbered(i, 34, 48) for i in range(20)], codec=codec)
    outlined: list[Truth] = []
    plain = results.timeline_figure
    monkeypatch.setattr(
        results, "timeline_figure", lambda found, truths: outlined.extend(truths) or plain(found, truths)
    )
    found, truth = localization(path, 20, (34, 48)), Truth("clip", "waving", 0.0, 1.0)
    written = write_localization(found, tmp_path / "out", truths=[truth])
    assert decoded() == 20 and outlined == [truth]
    assert written.report == tmp_path / "out" / "report.html"
    expected = ["report.html", "segments.csv", "segments.json", "segments.vtt", "timeline.png"]
    assert _tree(tmp_path / "out") == expected
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.html").write_text("old")
    with pytest.raises(OutputError, match=r"already holds report\.html"):
        write_localization(found, tmp_path / "other")
    write_localization(found, tmp_path / "other", report=False)
    assert (tmp_path / "other" / "report.html").read_text() == "old"


def test_nothing_is_left_of_a_localization_of_a_clip_that_changed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 34, 48) for i in range(18)])
    with pytest.raises(ClipError, match="18 of 20 frames match"):
        write_localization(localization(path, 20, (34, 48)), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_film_is_browser_ready(clip: Path, tmp_path: Path) -> None:
    path = explanation(np.ones((6, 2, 2)), clip=clip, size=SIZE).save(tmp_path / "out").overlay
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("tagged", "expected"), [((1, 1, 1), (1, 1, 1)), ((6, 6, 6), (6, 6, 6)), (None, (6, 2, 2))])
def test_colours_and_their_tags_are_kept(
    tmp_path: Path, tagged: tuple[int, ...] | None, expected: tuple[int, ...]
) -> None:
    """Red, green and blue, which BT.601 and BT.709 code differently; an untagged clip of this height is BT.601."""
    path = tmp_path / "clip.mp4"
    picture = np.zeros((240, 330, 3), np.uint8)
    for channel in range(3):
        picture[:, 110 * channel : 110 * (channel + 1), channel] = 230
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 240, 330, "yuv420p"
        if tagged:
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc = tagged
        matrix = Colorspace.ITU709 if expected[0] == 1 else Colorspace.ITU601
        coded = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p", dst_colorspace=matrix)
        for pts in range(6):
            coded.pts = pts
            film.mux(stream.encode(coded))
        film.mux(stream.encode(None))
    overlay = explanation(np.zeros((6, 2, 2)), clip=path, size=(240, 330)).save(tmp_path / "out").overlay
    with av.open(str(overlay)) as made:
        frame = next(made.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == expected
        shown = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    for channel in range(3):
        column = shown[120, shown.shape[1] * (2 * channel + 1) // 6].astype(int)
        assert np.abs(column - 230 * np.eye(3)[channel]).max() <= 6


def test_no_output_replaces_the_clip_that_is_explained(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "overlay.mp4", [numbered(i, 64, 96) for i in range(8)])
    before = clip.read_bytes()
    found = explanation(np.ones((8, 2, 2)), clip=clip, size=(64, 96), times=np.array([f.time for f in Clip(clip)]))
    with pytest.raises(OutputError, match=r"overlay\.mp4 is the clip that is explained"):
        found.save(tmp_path, overwrite=True)
    assert clip.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["overlay.mp4"]
