"""An explanation in a notebook that was exported to HTML: no Python behind it, and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import numbered, wait_until, write_video
from tests.results.test_explanation import explanation


@pytest.mark.slow
def test_a_cell_works_in_a_notebook_that_was_exported(browser: Any, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, 96, 128) for i in range(12)])
    maps = np.zeros((12, 2, 2))
    maps[:, 0, 1] = np.linspace(0, 3, 12)
    found = explanation(maps, clip=clip, size=(96, 128))
    cell = f'<div class="jp-OutputArea-output">{found._repr_html_()}</div>'
    (tmp_path / "exported").mkdir()
    exported = tmp_path / "exported" / "notebook.html"
    exported.write_text(f"<!doctype html><meta charset='utf-8'><body>{cell}</body>", encoding="utf-8")
    clip.unlink()
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(exported.as_uri())
    frame = page.frames[-1]
    wait_until(frame, "document.getElementById('film') && document.getElementById('film').readyState >= 2")
    frame.evaluate("document.getElementById('film').currentTime = 1.0")
    drawn = """[...document.querySelectorAll('canvas')].some(c => {
        const d = c.getContext('2d') && c.width ? c.getContext('2d').getImageData(0, 0, c.width, c.height).data : [];
        return d.some((v, i) => i % 4 == 3 && v > 0);
    })"""
    wait_until(frame, drawn)
    context.close()
    assert complaints == [] and [u for u in asked if not u.startswith(("data:", exported.as_uri(), "about:"))] == []
