from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vidcam.pipeline import explain

from tests.conftest import write_video
from tests.results.test_explanation import explanation
from vidcam.export.overlay import Overlay
from vidcam.export.page import write_report
from vidcam.video.reader import Clip


@settings(deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.floats(1e-3, 1e3))
def test_sizes_are_bounded_in_both_directions(height: int, width: int, aspect: float) -> None:
    overlay = Overlay(explanation(np.ones((2, 2, 2)), size=(height, width)), aspect)
    assert 320 <= overlay.size[1] <= 8192 and overlay.size[0] <= 8192 + 1400
    assert overlay.size[0] % 2 == overlay.size[1] % 2 == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (16, 2000), (4, 9000)])
def test_any_shape_gives_all_outputs(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), 20 * i, np.uint8) for i in range(4)]
    path = write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pixel_format="bgra")
    found = explain(path)
    outputs = found.save(tmp_path / "out")
    film = Clip(outputs.overlay)
    assert max(film.width, film.height) <= 9000 and film.width * film.height < 2**24
    assert len(list(film)) == 4
    write_report([found], tmp_path / "out")
