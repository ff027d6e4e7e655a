from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.evaluation.samples import Sample, read_sample, render_clips, sources
from vidcam.models.registry import load_model
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.scene import hard_scene, untrimmed_scene


def test_a_folder_of_clips_comes_with_its_truth_where_there_is_one(tmp_path: Path, clip_path: Path) -> None:
    write_clip(untrimmed_scene(5, 0, 32), tmp_path / "a.mp4")
    found = sources(str(tmp_path), 0, 10)
    assert [source.name for source in found] == ["a.mp4", "clip.mp4"]
    known, unknown = (source.read(load_model("playground-c3d").spec.preprocess) for source in found)
    assert unknown.label is None and unknown.mask is None and unknown.frames.shape == (24, 112, 112, 3)
    truth = read_truth(tmp_path / "a.json")
    (action,) = truth.actions
    assert known.label == truth.label and known.frames.shape == (32, 112, 112, 3) and known.mask is not None
    acting = [action["start_frame"] <= t < action["end_frame"] for t in range(32)]
    assert known.mask.any(axis=(1, 2)).tolist() == acting
    figure = truth.masks[action["figure"]]
    for t in np.nonzero(acting)[0]:  # half the side, a quarter of the pixels, the same place
        assert known.mask[t].sum() == pytest.approx(figure[t].sum() / 4, rel=0.25)
        np.testing.assert_allclose(np.argwhere(known.mask[t]).mean(0) * 2, np.argwhere(figure[t]).mean(0), atol=3)


def test_the_playground_is_the_same_every_time() -> None:
    model = load_model("playground-c3d")
    first, again = (sources("playground", 8, 2)[1].read(model.spec.preprocess) for _ in range(2))
    assert first.name == "8-0001.mp4" or first.name == "8-0001"
    np.testing.assert_array_equal(first.frames, again.frames)


def test_no_clips(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder; give a folder of clips, or playground"):
        sources(str(tmp_path / "none"), 0, 1)
    with pytest.raises(SettingsError, match="holds no clips"):
        sources(str(tmp_path), 0, 1)


def test_labels_of_a_folder(tmp_path: Path) -> None:
    model = load_model("playground-c3d")
    clips = [write_video(tmp_path / f"{n}.mp4", [numbered(i, 32, 32) for i in range(8)]) for n in ("a", "b", "c")]
    assert read_sample(clips[0], model.spec.preprocess).label is None
    (tmp_path / "labels.csv").write_text(
        "\ufeffclip,label\nb.mp4,kicking\n\n a.mp4 , waving \na.mp4,waving\n", encoding="utf-8"
    )
    assert [read_sample(clip, model.spec.preprocess).label for clip in clips] == ["waving", "kicking", None]
    (tmp_path / "labels.csv").write_text("a.mp4,waving\nb.mp4,kicking\na.mp4,bowing\n", encoding="utf-8")
    with pytest.raises(ClipError, match=r"gives 'a\.mp4' the labels 'waving' and 'bowing'; give one"):
        read_sample(clips[0], model.spec.preprocess)
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClipError, match="cannot be read"):
        read_sample(clips[0], model.spec.preprocess)


def test_masks_lie_on_the_frames_of_the_act(tmp_path: Path) -> None:
    """What is seen of the actor, drawn alone: the same pixels, frame by frame."""
    write_clip(untrimmed_scene(5, 1, 40), tmp_path / "a.mp4")
    found = read_sample(tmp_path / "a.mp4", load_model("playground-c3d").spec.preprocess)
    truth = read_truth(tmp_path / "a.json")
    (action,) = truth.actions
    assert found.mask is not None and len(found.actors) == 1
    np.testing.assert_array_equal(found.actors[0], found.mask)
    preprocess = load_model("playground-c3d").spec.preprocess
    for t in range(40):
        figure = truth.masks[action["figure"]][t] & (action["start_frame"] <= t < action["end_frame"])
        seen = preprocess.frame(np.repeat(figure[:, :, None], 3, axis=2).astype(np.uint8) * 255)
        np.testing.assert_array_equal(found.mask[t], seen[:, :, 0] > 127)


def test_clips_are_rendered_once(tmp_path: Path) -> None:
    folder = render_clips(lambda seed, index: hard_scene(seed, index, 16), 3, 1, tmp_path / "clips")
    before = (folder / "3-0000.mp4").stat().st_mtime_ns
    render_clips(lambda seed, index: hard_scene(seed, index, 16), 3, 1, folder)
    assert (folder / "3-0000.mp4").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="holds other clips"):
        render_clips(hard_scene, 4, 1, folder)


def test_a_sample_is_a_source_of_its_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    source = Sample("clip", frames, 12.5).source
    assert (source.name, source.frame_rate) == ("clip", 12.5)
    np.testing.assert_array_equal([f.pixels for f in source], frames)
