"""The scripts call vidcam as it is: measurements that documents quote can be repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
LOOSE = (  # differences of types that do not keep a script from running
    *("arg-type", "assignment", "call-overload", "has-type", "import-not-found", "import-untyped", "index", "operator"),
    *("return-value", "union-attr", "var-annotated"),
)


@pytest.mark.slow
def test_each_name_call_and_result_that_scripts_use_exists(tmp_path: Path) -> None:
    loose = [option for code in LOOSE for option in ("--disable-error-code", code)]
    options = ["--config-file=", f"--cache-dir={tmp_path}", "--follow-imports=silent", "--ignore-missing-imports"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *loose, *map(str, sorted(SCRIPTS.glob("*.py")))],
        capture_output=True,
        text=True,
        cwd=SCRIPTS.parent,
    )
    assert run.returncode == 0, run.stdout
