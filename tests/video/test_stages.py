from __future__ import annotations

from collections.abc import Iterator

import pytest

from vidcam.video import stages as module
from vidcam.video.stages import Stages


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock, in seconds, that stands still until the test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_only_the_time_in_which_items_are_made_counts(clock: list[float]) -> None:
    def made() -> Iterator[int]:
        for item in range(3):
            clock[0] += 2
            yield item
        clock[0] += 0.5

    stages = Stages()
    found = []
    for item in stages.timed("decode_s", made()):
        found.append(item)
        clock[0] += 10
    with stages.busy("draw_s"):
        clock[0] += 0.12345
    assert found == [0, 1, 2] and stages.rounded() == {"decode_s": 6.5, "draw_s": 0.123}


def test_a_stage_that_fails_has_taken_its_time(clock: list[float]) -> None:
    stages = Stages()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), stages.busy("encode_s"):
            clock[0] += 1
            raise ValueError("no")
    assert stages.seconds == {"encode_s": 2.0}
