from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Event, Timer
from typing import Any

import pytest

from vidcam.process import Ended, Process


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process("tests.app.answers")
    yield process
    process.close()


def _ask(
    process: Process, question: Any, seconds: float = 30, memory: int = 2**28, stopping: Event | None = None
) -> Any:
    said: list[Any] = []
    answer = process.ask(question, seconds=seconds, memory=memory, stopping=stopping or Event(), progress=said.append)
    assert said == ["begun"]
    return answer


def test_a_process_answers_again_and_again(process: Process) -> None:
    first, second = _ask(process, {"a": [1, "ü"]}), _ask(process, None)
    assert first["question"] == {"a": [1, "ü"]} and second["question"] is None
    assert first["process"] == second["process"] != os.getpid()


@pytest.mark.slow
def test_it_ends_at_its_limits_and_starts_again(process: Process) -> None:
    before = _ask(process, "")["process"]
    for question, seconds, expected in (("sleep", 0.3, "time"), ("grow", 30, "memory"), ("die", 30, "died")):
        with pytest.raises(Ended) as caught:
            _ask(process, question, seconds)
        assert caught.value.reason == expected
        after = _ask(process, "")["process"]
        assert after != before
        before = after


def test_it_ends_on_request(process: Process) -> None:
    stopping = Event()
    Timer(0.2, stopping.set).start()
    with pytest.raises(Ended) as caught:
        _ask(process, "sleep", stopping=stopping)
    assert caught.value.reason == "stopped"
