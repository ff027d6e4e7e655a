from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "scripts" / "fuzz_readers.py"
READERS = [
    "config",
    "pth",
    "legacy",
    "safetensors",
    "labels",
    "npz",
    "summary",
    "sidecar",
    "annotations",
    "predictions",
    "csv",
    "jsonl",
    "parquet",
]


@pytest.mark.slow
def test_damaged_files_are_errors_or_results_and_nothing_else() -> None:
    readers = [word for name in READERS for word in ("--reader", name)]
    run = subprocess.run([sys.executable, FUZZ, "--count", "60", *readers], capture_output=True, text=True)
    found = json.loads(run.stdout)
    assert run.returncode == 0, found
    for name, told in found.items():
        assert told["read"] + told["VidcamError"] == 60 and told["VidcamError"] > 12, (name, told)
