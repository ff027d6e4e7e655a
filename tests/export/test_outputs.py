from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError
from vidcam.export import outputs
from vidcam.export.overlay import Overlay, blend
from vidcam.results.explanation import load_explanation
from vidcam.video.reader import Clip

NAMES = ["curve.csv", "curve.png", "explanation.npz", "overlay.mp4", "summary.json"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pts = [0, 1, 2, 5, 6, 9]
    return write_video(
        tmp_path / "clip.mkv",
        [numbered(i, 33, 47) for i in range(6)],
        codec="ffv1",
        pixel_format="bgra",
        pts=pts,
        time_base=Fraction(1, 1000),
        audio="aac",
    )


def test_everything_is_written_and_reads_back(clip: Path, tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((6, 3, 4))
    found = explanation(maps, clip=clip, size=(33, 47), times=np.array([f.time for f in Clip(clip)]))
    written = found.save(tmp_path / "out" / "deep")
    assert sorted(p.name for p in (tmp_path / "out" / "deep").iterdir()) == NAMES

    again = load_explanation(tmp_path / "out" / "deep")
    assert again.summary()["target"] == {"index": 1, "label": "a <b>", "probability": 0.5}
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


def test_nothing_is_overwritten_unasked(clip: Path, tmp_path: Path) -> None:
    found = explanation(np.ones((6, 2, 2)), clip=clip, size=(33, 47))
    out = tmp_path / "out"
    found.save(out)
    before = (out / "summary.json").stat().st_mtime_ns
    with pytest.raises(OutputError, match=r"already holds .*overlay.mp4, .*pass --overwrite"):
        found.save(out)
    assert (out / "summary.json").stat().st_mtime_ns == before
    found.save(out, overwrite=True)
    assert (out / "summary.json").stat().st_mtime_ns > before


def test_a_failure_leaves_nothing(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs.np, "savez_compressed", full)
    found = explanation(np.ones((6, 2, 2)), clip=clip, size=(33, 47))
    with pytest.raises(OutputError, match="No space left on device"):
        found.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_clip_that_changed(clip: Path, tmp_path: Path) -> None:
    found = explanation(np.ones((9, 2, 2)), clip=clip, size=(33, 47))
    with pytest.raises(ClipError, match="has changed since it was explained: 6 of 9 frames match"):
        found.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_where_the_directory_should_be(clip: Path) -> None:
    with pytest.raises(OutputError, match="is a file, not a directory"):
        explanation(np.ones((6, 2, 2)), clip=clip).save(clip / "out")


def test_cold_regions_keep_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(blend(picture, np.zeros((8, 8))), picture)
    heat = np.zeros((8, 8))
    heat[2, 3] = 1.0
    changed = (blend(picture, heat) != picture).any(2)
    assert changed[2, 3] and changed.sum() == 1


def test_heat_is_mixed_in_by_its_strength() -> None:
    rng = np.random.default_rng(1)
    picture, heat = rng.integers(0, 256, (20, 30, 3), np.uint8), rng.random((20, 30)).astype(np.float32)
    colour = matplotlib.colormaps["inferno"](np.rint(heat * 255).astype(int), bytes=True)[..., :3].astype(float)
    exact = picture + 0.8 * (np.rint(heat * 255) / 255)[..., None] * (colour - picture)
    assert np.abs(blend(picture, heat) - exact).max() <= 1.5


def test_pixels_that_are_not_square_are_shown_square() -> None:
    found = explanation(np.ones((2, 2, 2)), size=(480, 640))
    height, width = Overlay(found, 4 / 3).size
    assert width in (852, 854) and height > 480


@pytest.mark.parametrize("label", ["x" * 300, "שלום 🎬 <script>", ""])
def test_any_label_can_be_drawn(label: str) -> None:
    from vidcam.results.explanation import ExplainedTarget

    found = explanation(np.ones((2, 2, 2)), size=(48, 64), target=ExplainedTarget(0, label, 0.1))
    overlay = Overlay(found)
    assert overlay.draw(np.zeros((48, 64, 3), np.uint8), 1).shape == (*overlay.size, 3)


def test_the_film_is_browser_ready(clip: Path, tmp_path: Path) -> None:
    path = explanation(np.ones((6, 2, 2)), clip=clip, size=(33, 47)).save(tmp_path / "out").overlay
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
