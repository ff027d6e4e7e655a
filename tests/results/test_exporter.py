from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidcam
from tests.results.test_explanation import explanation
from vidcam.export import results as writers
from vidcam.results import exporter
from vidcam.results.drawing import Drawing


def test_vidcam_provides_the_writers_of_export() -> None:
    assert vidcam.Explanation and exporter.exporter() is writers


def test_results_are_saved_and_shown_by_the_exporter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    class Recording:
        def save(self, result: Any, directory: Path, *, overwrite: bool) -> Any:
            calls.append((result, directory, overwrite))
            return "outputs"

        def overlay(self, result: Any, frame: int, pixels: Any) -> Any:
            calls.append((result.drawing, frame, pixels))
            return "picture"

        def notebook_html(self, result: Any) -> str:
            calls.append(result)
            return "<p>page</p>"

    monkeypatch.setattr(exporter, "provider", Recording)
    found = explanation(np.ones((1, 2, 2)))
    assert found.save(str(tmp_path), overwrite=True) == "outputs"  # type: ignore[comparison-overlap]
    assert found._repr_html_() == "<p>page</p>"
    assert calls[0][0] is found and calls[0][1:] == (tmp_path, True) and calls[1] is found
    assert found.overlay(0, "pixels", cmap="magma", alpha=0.5) == "picture"  # type: ignore[arg-type,comparison-overlap]
    assert calls[2] == (Drawing("magma", 0.5), 0, "pixels")
