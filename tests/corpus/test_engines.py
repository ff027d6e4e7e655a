from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from vidcam.corpus import engines
from vidcam.corpus.job import Job
from vidcam.corpus.manifest import Entry
from vidcam.corpus.results import Results
from vidcam.errors import SettingsError
from vidcam.recipe import ExplainConfig

FLOAT32 = ExplainConfig(dtype="float32")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(config=FLOAT32, folder=tmp_path, directory=tmp_path)


class Counting:
    """In place of a worker: its records name the clip, and it breaks at one."""

    closed: list[int]

    def __init__(self, job: Job, stopping: Any, index: int) -> None:
        self.index = index

    def finish(self, entry: Entry, results: Results) -> dict[str, object]:
        if entry.path == "broken":
            raise ValueError("a worker broke")
        return {"clip": entry.path}

    def close(self) -> None:
        Counting.closed.append(self.index)


def _entries(*paths: str) -> Iterator[Entry]:
    return (Entry(path=path) for path in paths)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_clip_is_worked_on_once_and_all_workers_end(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(engines, "Worker", Counting)
    Counting.closed = []
    names = [f"{n}.mp4" for n in range(20)]
    found = list(engines.local(workers)(job, Results(tmp_path / "out"), _entries(*names)))
    assert sorted(r["clip"] for r in found) == sorted(names)
    assert sorted(Counting.closed) == list(range(workers))


def test_what_breaks_a_worker_ends_the_run(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "Worker", Counting)
    Counting.closed = []
    with pytest.raises(ValueError, match="a worker broke"):
        list(engines.local(2)(job, Results(tmp_path / "out"), _entries("a", "broken", *map(str, range(50)))))
    assert sorted(Counting.closed) == [0, 1]


def test_by_default_there_is_a_worker_for_each_core_as_far_as_the_memory_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(psutil.Process().cpu_affinity())
    memory = type("Memory", (), {"total": 1 << 50})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert engines._default_workers() == cores
    memory.total = 3 << 30
    assert engines._default_workers() == 1
    memory.total = 1 << 50
    gpu = type("Properties", (), {"total_memory": 80 << 30})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    assert engines._default_workers() == min(cores, 20)
    gpu.total_memory = 6 << 30
    assert engines._default_workers() == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert engines._default_workers() == 8


def test_a_worker_that_runs_already_is_the_first(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "Worker", Counting)
    Counting.closed = []
    taken: list[Job] = []
    running = Counting(job, None, 7)
    monkeypatch.setattr(Counting, "take", lambda self, job, stopping: taken.append(job), raising=False)
    list(engines.local(2)(job, Results(tmp_path / "out"), _entries("a", "b"), running))  # type: ignore[arg-type]
    assert taken == [job] and sorted(Counting.closed) == [1, 7]


@pytest.mark.slow
def test_ray_is_asked_for_by_name_and_address() -> None:
    with pytest.raises(SettingsError, match=r"there is no Ray cluster at 127\.0\.0\.1:9"):
        list(engines.ray("127.0.0.1:9")(Job(config=FLOAT32, folder=Path(), directory=Path()), None, []))  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_actor_tells_what_ends_the_run(tmp_path: Path) -> None:
    wrong = FLOAT32.model_copy(update={"layer": "tail"})
    actor = engines._Actor(Job(config=wrong, folder=tmp_path, directory=tmp_path), Results(tmp_path / "out"))
    outcome = json.loads(actor({"entry": json.dumps({"path": "clip.mp4"})})["outcome"])
    assert "has no layer 'tail'" in outcome["ends"]
