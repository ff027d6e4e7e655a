from __future__ import annotations

from vidcam.live.backoff import BackOff


def test_waits_grow_to_the_longest_and_begin_anew_after_a_success() -> None:
    waits = BackOff(first=0.5, factor=3.0, longest=10.0)
    assert [waits.next() for _ in range(5)] == [0.5, 1.5, 4.5, 10.0, 10.0]
    waits.reset()
    assert waits.next() == 0.5
