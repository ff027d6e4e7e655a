from __future__ import annotations

import base64
import json
import resource
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidcam.errors import ClipError
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.demo import demo_clips
from vidcam.playground.scene import FPS, untrimmed_scene
from vidcam.video.reader import Clip


def test_a_clip_and_its_truth(tmp_path: Path) -> None:
    scene = next(s for i in range(20) if (s := untrimmed_scene(3, i, 32)).acts)
    write_clip(scene, tmp_path / "a.mp4", size=64, facts={"seed": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.mp4"]
    frames = list(Clip(tmp_path / "a.mp4"))
    assert len(frames) == 32 and frames[16].time == 1.0
    assert np.abs(frames[5].pixels.astype(int) - scene.render(5, 64)).mean() < 12

    truth = read_truth(tmp_path / "a.json")
    act = scene.acts[0]
    assert (truth.label, truth.frame_rate) == (act.label, FPS)
    assert truth.actions[0]["start_frame"] == act.start and truth.actions[0]["end_s"] == act.end / FPS
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["seed"] == 3
    for t in (0, 13, 31):
        ids = np.zeros((64, 64), np.uint8)
        scene.render(t, 64, ids)
        mask = ids == act.figure + 1
        assert np.array_equal(truth.masks[act.figure][t], mask)
        left, top, right, bottom = stored["tubes"][0]["boxes"][t]
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()


def test_a_wrong_sidecar(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ClipError, match="is not the sidecar of a playground clip"):
        read_truth(tmp_path / "a.json")


def test_the_bundled_clips() -> None:
    clips = demo_clips()
    assert len(clips) == 6
    assert sum(p.stat().st_size for c in clips for p in (c, c.with_suffix(".json"))) < 2_000_000
    for clip in clips:
        truth = read_truth(clip.with_suffix(".json"))
        (action,) = truth.actions
        assert 0 < action["start_frame"] < action["end_frame"] < len(truth.masks[action["figure"]])


def _sidecar(path: Path, mask: bytes = bytes(8), **changes: Any) -> Path:
    action = {"label": "a", "figure": 0, "start_frame": 0, "end_frame": 1, "start_s": 0, "end_s": 1}
    tube = {"figure": 0, "masks": base64.b64encode(zlib.compress(mask)).decode()}
    stored = {"label": "a", "frame_rate": 16, "frames": 1, "size": 8, "actions": [action], "tubes": [tube], **changes}
    path.write_text(json.dumps(stored))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": bytes(256 << 20)}, "does not have the 8 bytes"),
        ({"mask": bytes(7)}, "does not have the 8 bytes"),
        ({"frames": 10**9, "size": 8000}, "more than"),
        ({"frames": -1}, "frames"),
        ({"size": 1.5}, "size"),
        ({"frame_rate": float("nan")}, "frame_rate"),
        ({"tubes": [{"figure": 0, "masks": "AAAA"}]}, "sidecar"),
        ({"tubes": [{"figure": [], "masks": ""}]}, r"tubes\.0\.figure"),
        ({"tubes": []}, "an action has no figure"),
        ({"actions": [{"label": "a"}]}, r"actions\.0\.figure"),
        ({"actions": "abc"}, "actions"),
        ({"label": 5}, "label"),
    ],
    ids=range(12),
)
def test_sidecars_that_claim_what_is_not_there(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _sidecar(tmp_path / "a.json", **changes)
    changes.clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClipError, match=message):
        read_truth(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


def test_sidecars_that_are_no_json(tmp_path: Path) -> None:
    assert read_truth(_sidecar(tmp_path / "a.json")).masks[0].shape == (1, 8, 8)
    for text in ("[" * 100_000, "[]", "1" * 5000, ""):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ClipError, match="is not the sidecar"):
            read_truth(tmp_path / "a.json")
    with pytest.raises(ClipError, match="is not the sidecar"):
        read_truth(Path("/dev/zero"))
