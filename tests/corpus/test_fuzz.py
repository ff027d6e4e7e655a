from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "scripts" / "fuzz.py"


@pytest.mark.slow
def test_damaged_clips_are_errors_or_results_and_nothing_else(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, FUZZ, "--out", tmp_path / "fuzz", "--count", "60"], capture_output=True, text=True
    )
    told = json.loads(run.stdout)
    assert run.returncode == 0 and not told["trouble"] and not told["ended"]
    assert set(told["outcomes"]) == {"explained", "ClipError"}, told["outcomes"]
    assert all(count > 10 for count in told["outcomes"].values())
