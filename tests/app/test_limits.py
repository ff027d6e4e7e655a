from __future__ import annotations

import pytest

from vidcam.app.limits import Limits, share


def test_frames_and_bytes_follow_from_seconds_and_megabytes() -> None:
    limits = Limits(seconds=2, megabytes=3)
    assert limits.frames == 120 and limits.bytes == 3 * 2**20


@pytest.mark.parametrize(("limit", "part"), [(0, 1), (1, 1), (2, 1), (3, 1), (8, 4), (9, 4)])
def test_an_address_has_half_and_at_least_one(limit: int, part: int) -> None:
    assert share(limit) == part
