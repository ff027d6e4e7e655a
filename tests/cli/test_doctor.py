from __future__ import annotations

import pytest

from tests.cli.conftest import Vidcam


@pytest.mark.slow
def test_doctor_finds_everything_in_order(vidcam: Vidcam) -> None:
    result = vidcam("doctor")
    assert result.returncode == 0, result.stdout
    assert "H.264 encoder" in result.stdout
