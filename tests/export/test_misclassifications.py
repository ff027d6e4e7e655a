from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.export.misclassifications import confusions, errors_page, save_errors, summarize
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.misclassification import Misclassification, Side
from vidcam.video.reader import Clip

HOSTILE = "<script>alert(1)</script> \"'"


def _error(clip: str, true: str, predicted: str, confidence: float) -> Misclassification:
    return Misclassification(clip, 0, Side(true, 0.1, 0.2, 0.3), Side(predicted, confidence, 0.4, 0.5), 0.2, None)


def test_the_most_frequent_confusion_comes_first_and_in_it_the_surest() -> None:
    errors = [
        _error("a", "x", "y", 0.95),
        _error("b", "x", "z", 0.6),
        _error("c", "x", "z", 0.8),
        _error("d", "z", "x", 0.9),
    ]
    found = confusions(errors)
    assert [(c.true, c.predicted, [e.clip for e in c.errors]) for c in found] == [
        ("x", "z", ["c", "b"]),
        ("x", "y", ["a"]),
        ("z", "x", ["d"]),
    ]
    assert found[0].confidence == pytest.approx(0.7)


def test_what_it_sums_up_to() -> None:
    errors = [_error("a", "x", "y", 0.9), replace(_error("b", "x", "y", 0.7), kept=None, removed=None)]
    found = summarize(errors, 8)
    assert (found["errors"], found["accuracy"], found["probability_predicted"]) == (2, 0.75, pytest.approx(0.8))
    assert (found["restored_by_share"], found["restored_by_possible"]) == (pytest.approx(0.6), 0.5)
    assert summarize([], 8) == {"clips": 8, "errors": 0, "accuracy": 1}


def test_names_are_text() -> None:
    page = errors_page([_error(HOSTILE, HOSTILE, "y", 0.9)], {}, clips=3, model=HOSTILE, how="m at l")
    assert "<script" not in page and page.count("&lt;script&gt;") >= 3


def test_a_page_with_films_of_the_worst_errors(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(6)])
    errors = [_error("3 a.mp4", "waving", "bowing", 0.9), _error("b.mp4", "waving", "bowing", 0.6)]
    asked: list[str] = []

    def explained(error: Misclassification) -> list[Explanation]:
        asked.append(error.clip)
        return [
            explanation(np.ones((6, 2, 2)), clip=clip, size=(48, 64), target=ExplainedTarget(n, side.label, 0.5))
            for n, side in enumerate((error.true, error.predicted))
        ]

    for _ in range(2):  # a film that is there stays
        page = save_errors(errors, 4, tmp_path / "out", explained, "m", "gradcam++ at l", 1)
        (film,) = re.findall(r'<video src="([^"]*)"', page.read_text(encoding="utf-8"))
        assert film == "films/3%20a/compare.mp4" and asked == ["3 a.mp4"]
    assert len(list(Clip(page.parent / unquote(film)))) == 6
