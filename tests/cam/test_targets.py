from __future__ import annotations

import pytest

from vidcam.cam.targets import class_index, top_count
from vidcam.errors import TargetError

LABELS = ("archery", "Applauding", "applying cream", "Zumba", "zumba", "42")


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0, 0), ("1", 1), ("archery", 0), ("ARCHERY", 0), (" applauding ", 1), ("zumba", 4), ("42", 5)],
)
def test_a_class_by_index_or_label(target: int | str, expected: int) -> None:
    assert class_index(target, LABELS) == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (6, "class index 6 is out of range; the model has 6 classes, 0 to 5"),
        ("-1", "class index -1 is out of range"),
        ("ZUMBA", r"fits several classes: Zumba \(3\), zumba \(4\)"),
        ("apply", "nearest: applying cream"),
        ("qqqq", "the first are: archery"),
    ],
)
def test_wrong_targets_say_what_to_choose(target: int | str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        class_index(target, LABELS)


def test_top() -> None:
    assert [top_count(t) for t in ("top", "top1", "Top-5", "topspin", 3)] == [1, 1, 5, None, None]
    with pytest.raises(TargetError, match="asks for no class"):
        top_count("top0")
