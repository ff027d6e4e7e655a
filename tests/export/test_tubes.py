from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import OutputError
from vidcam.export.tubes import save_tubes
from vidcam.temporal.tubes import Tube
from vidcam.video.reader import Clip


def test_tubes_as_files(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(0, 288, 384)] * 10)
    found = explanation(np.zeros((10, 2, 2)), clip=clip, size=(288, 384), times=np.arange(10) / 10)
    tube = Tube("<b>waving", 0.75, 2, np.tile([192.0, 96.0, 288.0, 192.0], (5, 1)))
    outputs = save_tubes(found, [tube], tmp_path / "out")
    stored = json.loads(outputs.tubes.read_text(encoding="utf-8"))["tubes"]
    assert [(t["label"], t["score"], t["start_frame"], t["end_frame"], t["boxes"]) for t in stored] == [
        ("<b>waving", 0.75, 2, 7, tube.boxes.tolist())
    ]
    assert (stored[0]["start_s"], stored[0]["end_s"]) == (0.2, 0.7)
    frames = [frame.pixels for frame in Clip(outputs.film)]
    assert len(frames) == 10
    for index, pixels in enumerate(frames):
        edge, outside = pixels[180, 192:195].max(), pixels[180, 300:310].max()
        assert (edge > 90) == (2 <= index < 7) and outside < 40
    with pytest.raises(OutputError, match="already holds"):
        save_tubes(found, [tube], tmp_path / "out")
