from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidcam import cli
from vidcam.engine import memory

Vidcam = Callable[..., SimpleNamespace]


@pytest.fixture
def vidcam(monkeypatch: pytest.MonkeyPatch) -> Vidcam:
    """The command line in this process: arguments in; returncode, stdout and stderr out."""
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: False)  # it would change the tests of memory

    def run(*arguments: str | Path | float) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["vidcam", *map(str, arguments)])
        code: object = 0
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
        return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())

    return run
