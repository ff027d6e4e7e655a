from __future__ import annotations

import re

import pytest

from tests.cli.conftest import Vidcam
from vidcam.playground.spec import bundled_weights


@pytest.mark.slow
def test_doctor_finds_everything_in_order(vidcam: Vidcam) -> None:
    result = vidcam("doctor")
    assert result.returncode == 0, result.stdout
    assert "H.264 encoder" in result.stdout
    bundled = {path.stem for path in bundled_weights("playground-c3d").parent.glob("*.safetensors")}
    assert bundled == set(re.findall(r"weights (\S+)", result.stdout))
