from __future__ import annotations

from pathlib import Path

import pytest

from vidcam.errors import ClipError
from vidcam.playground import demo
from vidcam.playground.demo import demo_clip, demo_clips


def test_the_clips_are_there_with_their_truth() -> None:
    clips = demo_clips()
    assert len(clips) == 6 and clips == sorted(clips)
    assert all(clip.with_suffix(".json").exists() for clip in clips) and demo_clip().stem == "jumping-jack"


def test_an_incomplete_installation_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vidcam").mkdir()
    monkeypatch.setattr(demo, "files", lambda package: tmp_path / "vidcam")
    with pytest.raises(ClipError, match="bundled clips are missing; install vidcam again"):
        demo_clips()
    (tmp_path / "vidcam" / "demo_clips").mkdir()
    (tmp_path / "vidcam" / "demo_clips" / "a.mp4").touch()
    assert demo_clip().name == "a.mp4"
