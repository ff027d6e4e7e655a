from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidcam.errors import SettingsError
from vidcam.evaluation.samples import sources
from vidcam.models.registry import load_model
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.scene import untrimmed_scene


def test_a_folder_of_clips_comes_with_its_truth_where_there_is_one(tmp_path: Path, clip_path: Path) -> None:
    write_clip(untrimmed_scene(5, 0, 32), tmp_path / "a.mp4")
    found = sources(str(tmp_path), 0, 10)
    assert [source.name for source in found] == ["a.mp4", "clip.mp4"]
    known, unknown = (source.read(load_model("playground-c3d")) for source in found)
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
    first, again = (sources("playground", 8, 2)[1].read(model) for _ in range(2))
    assert first.name == "8-0001.mp4" or first.name == "8-0001"
    np.testing.assert_array_equal(first.frames, again.frames)


def test_no_clips(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder; give a folder of clips, or playground"):
        sources(str(tmp_path / "none"), 0, 1)
    with pytest.raises(SettingsError, match="holds no clips"):
        sources(str(tmp_path), 0, 1)
