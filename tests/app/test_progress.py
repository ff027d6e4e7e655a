from __future__ import annotations

import pytest

from vidcam.app.progress import STEPS, Progress


def _texts(*reports: tuple[float, str, int, int]) -> list[str]:
    """The words of reports: seconds, step, frames that are done, and all."""
    seconds = iter(report[0] for report in reports)
    progress = Progress(clock=lambda: next(seconds))
    return [progress.text(*report[1:]) for report in reports]


def test_the_time_left_is_that_of_the_step_at_its_rate_so_far() -> None:
    one, two = STEPS["explaining"], STEPS["drawing"]
    assert _texts(
        (0, "loading", 0, 0),
        (50, "explaining", 0, 200),
        (51, "explaining", 10, 200),
        (60, "explaining", 50, 200),
        (70, "explaining", 200, 200),
        (71, "drawing", 1, 200),
        (75, "drawing", 4, 200),
    ) == [
        "Loading the network",
        one,
        one,
        f"{one}, about 30 s left",
        one,
        two,
        f"{two}, about 3 min left",
    ]  # fmt: skip


@pytest.mark.parametrize(("left", "text"), [(89.0, "89 s"), (90.0, "2 min"), (0.2, "1 s")])
def test_seconds_become_minutes(left: float, text: str) -> None:
    of = 10_000
    done = round(of * 10 / (10 + left))
    assert _texts((0, "drawing", 0, of), (10, "drawing", done, of))[1].endswith(f"about {text} left")


def test_a_clip_that_does_not_say_how_long_it_is() -> None:
    assert _texts((0, "explaining", 0, 0), (9, "explaining", 40, 0))[1] == f"{STEPS['explaining']}, 40 frames so far"
