"""The script that makes the table of docs/formats.md, on a few of its clips."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "formats.py"

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg command is not installed")


def _table(out: Path, *names: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script on clips of these names, after some code that changes vidcam."""
    run = f"import runpy\n{code}\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    command = [sys.executable, "-c", run, "--out", str(out), "--only", *names]
    return subprocess.run(command, capture_output=True, text=True)


def _row(table: str, name: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| `{name}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_clips_that_are_read_rightly(tmp_path: Path) -> None:
    done = _table(tmp_path, "mpeg4-b-frames.avi", "mpeg2-mp2.ts", "h264-turned.mp4", "still.jxl")
    assert done.returncode == 0, done.stderr
    for name, sound in (("mpeg4-b-frames.avi", True), ("mpeg2-mp2.ts", True), ("h264-turned.mp4", True)):
        _, _, frames, time, pixels, shift, outcome, said = _row(done.stdout, name)
        assert (frames, outcome, said) == ("50", "right", "nothing")
        assert int(time) <= 20 and float(pixels) <= 3 and (int(shift) <= 50) == sound
    assert _row(done.stdout, "still.jxl")[-2] == "refused"
    assert "has a format without a decoder (jpegxl_pipe)" in _row(done.stdout, "still.jxl")[-1]
    assert "1 refused, 3 right" in done.stdout


FAULTS = {
    "times": "import vidcam.video.reader as r; i = r.Clip.__iter__; "
    "r.Clip.__iter__ = lambda s: (r.Frame(f.index, 2 * f.time, 2 * f.pts, f.pixels) for f in i(s))",
    "pixels": "import vidcam.video.reader as r; u = r.Clip._upright_rgb; r.Clip._upright_rgb = lambda s, f: 255 - u(s, f)",
    "sound": "import vidcam.video.writer as w; a = w._AudioCopy.__init__; "
    "w._AudioCopy.__init__ = lambda s, p, f, t: a(s, p, f, t + 0.2)",
    "film": "import vidcam.video.writer as w; a = w.FilmWriter.write; "
    "w.FilmWriter.write = lambda s, pixels, pts: a(s, pixels, 2 * pts)",
    "49 frames": "import vidcam.video.reader as r; i = r.Clip.__iter__; "
    "r.Clip.__iter__ = lambda s: (f for f in i(s) if f.index != 7)",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(tmp_path: Path, fault: str) -> None:
    done = _table(tmp_path, "mpeg2-mp2.mp4", code=FAULTS[fault])
    assert done.returncode == 1, done.stderr
    outcome = _row(done.stdout, "mpeg2-mp2.mp4")[-2]
    assert outcome.startswith("WRONG") and fault in outcome
