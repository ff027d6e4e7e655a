from __future__ import annotations

from vidcam.live.clock import Clock


def test_a_stopped_clock_waits_no_longer() -> None:
    clock = Clock()
    assert not clock.wait(0.0) and not clock.stopped
    before = clock.now()
    clock.stop()
    assert clock.wait(3600.0) and clock.stopped and clock.now() >= before
