from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered
from vidcam.errors import OutputError
from vidcam.live.recording import Recording, fitted
from vidcam.video.reader import Clip


def test_a_recording_holds_all_pictures_at_their_times(tmp_path: Path) -> None:
    with Recording(tmp_path / "a.mp4", 10.0) as film:
        for index in range(25):
            film.write(numbered(index, 48, 64), 100.0 + index / 10)
    frames = list(Clip(tmp_path / "a.mp4"))
    assert np.allclose([f.time for f in frames], np.arange(25) / 10, atol=1e-4)
    assert all(abs(int(f.pixels[24, 8, 0]) - (20 + 8 * i)) < 14 for i, f in enumerate(frames))


@pytest.mark.slow
def test_a_killed_recording_plays_to_within_two_seconds(tmp_path: Path) -> None:
    """A process records 20 frames a second on the film's clock, says so after 10 s of film, and is killed."""
    path = tmp_path / "a.mp4"
    code = f"""
import time
from pathlib import Path
from tests.conftest import numbered
from vidcam.live.recording import Recording
with Recording(Path({str(path)!r}), 20.0) as film:
    for index in range(200):
        film.write(numbered(index, 240, 320), index / 20)
    while not film._coming.empty():
        time.sleep(0.01)
    print("written", flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    frames = list(Clip(path))
    assert frames[-1].time >= 10.0 - 2.0
    assert np.allclose(np.diff([f.time for f in frames]), 0.05, atol=1e-4)


def test_pictures_of_another_size_are_fitted(tmp_path: Path) -> None:
    with Recording(tmp_path / "a.mp4") as film:
        film.write(np.full((48, 64, 3), 200, np.uint8), 0.0)
        film.write(np.full((96, 64, 3), 200, np.uint8), 0.1)
    frames = [f.pixels for f in Clip(tmp_path / "a.mp4")]
    assert [f.shape for f in frames] == [(48, 64, 3)] * 2
    assert fitted(np.full((96, 64, 3), 200, np.uint8), 48, 64)[:, :16].max() == 0
    assert (fitted(np.full((96, 64, 3), 200, np.uint8), 48, 64)[:, 16:48] == 200).all()


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"")
    with pytest.raises(OutputError, match="exists"):
        Recording(path)
    with Recording(path, overwrite=True) as film:
        film.write(numbered(0, 48, 64), 0.0)
    assert len(list(Clip(path))) == 1
    with pytest.raises(OutputError, match="no directory"):
        Recording(tmp_path / "none" / "a.mp4")


def test_a_failure_of_the_encoder_is_raised(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").mkdir()
    broken = Recording(tmp_path / "b.mp4", overwrite=True)
    with pytest.raises(OutputError), broken:
        for _ in range(1000):
            broken.write(np.zeros((48, 64, 3), np.uint8), 0.0)
