from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from vidcam.evaluation.misclassifications import Misclassified, Side
from vidcam.evaluation.samples import rendered
from vidcam.export.misclassifications import confusions, errors_page, save_errors, summed_up
from vidcam.models.registry import load_model
from vidcam.playground.scene import hard_scene

HOSTILE = "<script>alert(1)</script> \"'"


def _error(clip: str, true: str, predicted: str, sure: float) -> Misclassified:
    return Misclassified(clip, 0, Side(true, 0.1, 0.2, 0.3), Side(predicted, sure, 0.4, 0.5), 0.2, None)


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
    assert found[0].sure == pytest.approx(0.7)


def test_what_it_sums_up_to() -> None:
    errors = [_error("a", "x", "y", 0.9), replace(_error("b", "x", "y", 0.7), kept=None, removed=None)]
    found = summed_up(errors, 8)
    assert (found["errors"], found["accuracy"], found["probability_predicted"]) == (2, 0.75, pytest.approx(0.8))
    assert (found["restored_by_share"], found["restored_by_possible"]) == (pytest.approx(0.6), 0.5)
    assert summed_up([], 8) == {"clips": 8, "errors": 0, "accuracy": 1}


def test_names_are_text() -> None:
    page = errors_page([_error(HOSTILE, HOSTILE, "y", 0.9)], {}, clips=3, model=HOSTILE, method="m", layer="l")
    assert "<script" not in page and page.count("&lt;script&gt;") >= 3


@pytest.mark.slow
def test_a_page_with_a_film(tmp_path: Path) -> None:
    model = load_model("playground-r2plus1d")
    clips = rendered(lambda seed, index: hard_scene(seed, index, 32), 3, 1, tmp_path / "out" / "clips")
    error = _error("3-0000.mp4", "waving", "bowing", 0.9)
    page = save_errors([error], 1, clips, tmp_path / "out", model, ["layer3"], "gradcam++", 1)
    (film,) = re.findall(r'<video src="([^"]*)"', page.read_text(encoding="utf-8"))
    assert (page.parent / film).stat().st_size > 1000
