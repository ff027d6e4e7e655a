from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidcam.models import probe
from vidcam.models.probe import float32_over_bfloat16, quickest_dtype

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _a_new_process() -> Iterator[None]:
    quickest_dtype.cache_clear()
    yield
    quickest_dtype.cache_clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vidcam"


def _measuring(monkeypatch: pytest.MonkeyPatch, ratio: float) -> list[torch.device]:
    """Let the next measurements give a ratio, and return a list that gets an entry for each."""
    made: list[torch.device] = []
    monkeypatch.setattr(probe, "float32_over_bfloat16", lambda device: made.append(device) or ratio)
    return made


def test_the_ratio_is_that_of_two_times() -> None:
    assert 0.001 < float32_over_bfloat16(CPU) < 1000


@pytest.mark.parametrize(
    ("ratio", "dtype", "stored"),
    [(2.0, torch.bfloat16, 1), (1.3, torch.bfloat16, 0), (1.2, torch.float32, 0), (0.4, torch.float32, 1)],
)
def test_a_clear_result_is_measured_once_on_a_machine(
    ratio: float, dtype: torch.dtype, stored: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _measuring(monkeypatch, ratio)
    for _ in range(3):
        assert quickest_dtype(CPU) == dtype
        quickest_dtype.cache_clear()
    assert len(list(home.glob("*"))) == stored
    assert len(made) == (1 if stored else 3)


def test_another_processor_or_torch_has_its_own_result(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _measuring(monkeypatch, 2.0)
    for name, value in (("_processor", lambda: "another"), ("torch.__version__", "0.0")):
        quickest_dtype(CPU)
        quickest_dtype.cache_clear()
        monkeypatch.setattr(f"vidcam.models.probe.{name}", value)
    quickest_dtype(CPU)
    assert len(made) == len(list(home.iterdir())) == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fastest": "int8"}', '{"fastest": []}', "\0" * 2000, "[" * 900])
def test_a_damaged_file_is_replaced(content: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _measuring(monkeypatch, 2.0)
    quickest_dtype(CPU)
    (path,) = home.iterdir()
    path.write_text(content)
    quickest_dtype.cache_clear()
    assert quickest_dtype(CPU) == torch.bfloat16 and len(made) == 2
    assert json.loads(path.read_text())["fastest"] == "bfloat16"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made = _measuring(monkeypatch, 2.0)
    assert quickest_dtype(CPU) == torch.bfloat16 and len(made) == 1
