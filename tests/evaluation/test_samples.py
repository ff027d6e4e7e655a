from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.evaluation import samples
from vidcam.evaluation.samples import Sample, read_sample, render_clips, sources
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import load_model
from vidcam.playground.actions import ACTIONS
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.scene import crowd_scene, hard_scene, trimmed_scene, untrimmed_scene


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


@pytest.mark.slow
def test_the_playground_is_the_same_every_time() -> None:
    model = load_model("playground-c3d")
    first, again = (sources("playground", 8, 2)[1].read(model.spec.preprocess) for _ in range(2))
    assert first.name == "8-0001.mp4" or first.name == "8-0001"
    np.testing.assert_array_equal(first.frames, again.frames)
    scene = untrimmed_scene(8, 1)
    assert first.label == scene.label and len(first.frames) == scene.frames
    rendered = [model.spec.preprocess.frame(scene.render(t, 224)) for t in (0, 50, 95)]
    assert np.abs(first.frames[[0, 50, 95]].astype(int) - rendered).mean() < 4


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


AS_IT_IS = Preprocess((48, 64), (48, 64), (0.0,) * 3, (1.0,) * 3)


def test_the_first_clips_by_name_are_taken_and_other_files_are_not(tmp_path: Path) -> None:
    for name in ("c.mp4", "a.MKV", "b.txt", "d.avi"):
        (tmp_path / name).write_bytes(b"")
    assert [source.name for source in sources(str(tmp_path), 0, 2)] == ["a.MKV", "c.mp4"]
    assert [source.name for source in sources(str(tmp_path), 0, 9)] == ["a.MKV", "c.mp4", "d.avi"]
    assert [source.name for source in sources("playground", 7, 3)] == ["7-0000", "7-0001", "7-0002"]


def test_long_clips_are_read_up_to_a_number_of_frames(clip_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_sample(clip_path, AS_IT_IS)
    assert len(whole.frames) == 24 and whole.frame_rate == 10 and whole.actors == ()
    monkeypatch.setattr(samples, "MOST_FRAMES", 5)
    np.testing.assert_array_equal(read_sample(clip_path, AS_IT_IS).frames, whole.frames[:5])


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Three figures that do one thing, and one of them also another."""
    scene = crowd_scene(7, 2, 32)
    label = next(label for label in ACTIONS if label != scene.label)
    other = replace(scene.acts[0], label=label, start=28, end=32)
    write_clip(replace(scene, acts=(*scene.acts, other)), tmp_path / "crowd.mp4", size=64)
    return tmp_path / "crowd.mp4"


def test_every_actor_has_a_mask_of_what_the_clip_is_named_after(crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = read_truth(crowd.with_suffix(".json"))
    square = Preprocess((64, 64), (64, 64), (0.0,) * 3, (1.0,) * 3)
    acts = [a for a in truth.actions if a["label"] == truth.label]
    assert len(acts) == 3 and len(truth.actions) == 4

    def expected(frames: int) -> list[np.ndarray]:
        found = {}
        for act in acts:
            mask = np.zeros((frames, 64, 64), bool)
            for t in range(act["start_frame"], min(frames, act["end_frame"])):
                mask[t] = truth.masks[act["figure"]][t]
            found[act["figure"]] = mask
        return list(found.values())

    sample = read_sample(crowd, square)
    np.testing.assert_array_equal(sample.actors, expected(32))
    assert sample.mask is not None
    np.testing.assert_array_equal(sample.mask, np.any(expected(32), axis=0))
    last = max(act["start_frame"] for act in acts) + 2
    monkeypatch.setattr(samples, "MOST_FRAMES", last)  # it ends in the middle of an act
    np.testing.assert_array_equal(read_sample(crowd, square).actors, expected(last))
    monkeypatch.setattr(samples, "MOST_FRAMES", 1)
    assert len(read_sample(crowd, square).actors) == sum(bool(mask.any()) for mask in expected(1))


def test_masks_of_another_size_are_refused(crowd: Path) -> None:
    frames = [np.zeros((48, 64, 3), np.uint8)] * 32
    write_video(crowd, frames)
    with pytest.raises(ClipError, match=r"has masks of \(64, 64\), crowd.mp4 frames of another size"):
        read_sample(crowd, AS_IT_IS)


def test_a_row_without_a_label_is_no_label(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", [numbered(i, 48, 64) for i in range(2)])
    (tmp_path / "labels.csv").write_text("a.mp4\nb.mp4,kicking\n")
    assert read_sample(clip, AS_IT_IS).label is None


def test_clips_are_rendered_once(tmp_path: Path) -> None:
    folder = render_clips(lambda seed, index: hard_scene(seed, index, 16), 3, 1, tmp_path / "clips")
    before = (folder / "3-0000.mp4").stat().st_mtime_ns
    render_clips(lambda seed, index: hard_scene(seed, index, 16), 3, 1, folder)
    assert (folder / "3-0000.mp4").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match=r"holds other clips \(3-0000.mp4\)"):
        render_clips(hard_scene, 4, 1, folder)
    (folder / "3-0000.mp4").unlink()
    asked: list[tuple[int, int]] = []
    render_clips(lambda *which: asked.append(which) or trimmed_scene(*which, 4), 3, 2, folder)  # type: ignore[func-returns-value]
    assert asked == [(3, 0), (3, 1)] and len(list(folder.glob("*.mp4"))) == 2
    with pytest.raises(OutputError, match="cannot be written"):
        render_clips(hard_scene, 3, 1, folder / "3-0000.mp4")


def test_a_sample_is_a_source_of_its_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    source = Sample("clip", frames, 12.5).source
    assert (source.name, source.frame_rate) == ("clip", 12.5)
    np.testing.assert_array_equal([f.pixels for f in source], frames)
