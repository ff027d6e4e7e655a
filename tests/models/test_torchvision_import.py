from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch


def _run(code: str, path: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def _package(path: Path, body: str) -> Path:
    (path / "torchvision").mkdir()
    (path / "torchvision" / "__init__.py").write_text(textwrap.dedent(body), encoding="utf-8")
    return path


IMPORT = """
    from vidcam.models import torchvision_import as t
    from vidcam.errors import ModelError
    try:
        print(t.import_torchvision().__name__, len(t._declared))
    except ModelError as error:
        print("error", error)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="torch 2.4 keeps what a failed import registered")
def test_missing_operators_are_declared(tmp_path: Path) -> None:
    # What torchvision does while it is imported: it registers what it knows about operators it takes to be loaded.
    fake = """
        import torch
        for name in ("nms", "qnms"):
            torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: scores)
    """
    assert _run(IMPORT, _package(tmp_path, fake)) == "torchvision 2\n"


@pytest.mark.slow
def test_nothing_is_declared_where_the_import_works(tmp_path: Path) -> None:
    assert _run(IMPORT, _package(tmp_path, "")) == "torchvision 0\n"


@pytest.mark.slow
def test_another_failure_is_reported(tmp_path: Path) -> None:
    output = _run(IMPORT, _package(tmp_path, "raise RuntimeError('operator torchvision::deform does not exist')"))
    assert output.startswith("error torchvision does not load beside torch") and "deform" in output


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="torch 2.4 keeps what a failed import registered")
def test_threads_import_it_while_other_modules_are_imported(tmp_path: Path) -> None:
    """As two visitors of `vidcam app` do who choose a network of torchvision."""
    fake = """
        import time, torch
        for name in ("nms", "qnms"):
            time.sleep(0.05)
            torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: scores)
    """
    code = """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from types import SimpleNamespace
        from vidcam.models import torchvision_import as t

        class Growing(dict):
            def __iter__(self):
                for number, name in enumerate(super().__iter__()):
                    self[f"imported meanwhile {number}"] = None
                    yield name

        t.sys = SimpleNamespace(modules=Growing(sys.modules))
        with ThreadPoolExecutor(2) as pool:
            print([found.__name__ for found in pool.map(lambda _: t.import_torchvision(), range(2))], len(t._declared))
    """
    assert _run(code, _package(tmp_path, fake)) == "['torchvision', 'torchvision'] 2\n"
