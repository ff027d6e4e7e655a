from __future__ import annotations

import pytest

from vidcam.results.misclassification import Misclassification, Side

SIDE = Side("waving", 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("kept", "removed", "restored"), [(0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (None, 0.5, 0.5), (0.75, None, 0.75)]
)
def test_an_answer_is_restored_by_the_smaller_share(
    kept: float | None, removed: float | None, restored: float | None
) -> None:
    assert Misclassification("clip", 0, SIDE, SIDE, kept, removed).restored_by == restored


def test_an_answer_that_no_share_restores() -> None:
    assert Misclassification("clip", 0, SIDE, SIDE, None, None).restored_by is None
