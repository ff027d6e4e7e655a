"""An explanation in a notebook that was exported to HTML: no Python behind it, and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.conftest import numbered, wait_until, write_video
from tests.results.test_explanation import explanation


@pytest.mark.slow
def test_a_cell_works_in_a_notebook_that_was_exported(browser: Any, tmp_path: Path) -> None:
    nbconvert = pytest.importorskip("nbconvert", reason="nbconvert is not installed: pip install 'vidcam[dev]'")
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, 96, 128) for i in range(12)])
    maps = np.zeros((12, 2, 2))
    maps[:, 0, 1] = np.linspace(0, 3, 12)
    found = explanation(maps, clip=clip, size=(96, 128))
    shown = nbformat.v4.new_output("execute_result", {"text/html": found._repr_html_()}, execution_count=1)
    cell = nbformat.v4.new_code_cell("explanation", outputs=[shown], execution_count=1)
    text, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    exported = tmp_path / "exported" / "notebook.html"
    exported.parent.mkdir()
    exported.write_text(text, encoding="utf-8")
    clip.unlink()
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []  # by the cell; the page around it asks for MathJax and others
    page.on("request", lambda request: asked.append(request.url) if request.frame != page.main_frame else None)
    page.goto(exported.as_uri(), wait_until="domcontentloaded")
    wait_until(page, "frames.length > 0")
    frame = page.frames[-1]
    wait_until(frame, "document.getElementById('film') && document.getElementById('film').readyState >= 2", 30)
    frame.evaluate("document.getElementById('film').currentTime = 1.0")
    drawn = """[...document.querySelectorAll('canvas')].some(c => {
        const d = c.getContext('2d') && c.width ? c.getContext('2d').getImageData(0, 0, c.width, c.height).data : [];
        return d.some((v, i) => i % 4 == 3 && v > 0);
    })"""
    wait_until(frame, drawn)
    assert page.locator(".jp-OutputArea-output iframe").count() == 1
    context.close()
    assert [url for url in asked if not url.startswith(("data:", "blob:", "about:", exported.as_uri()))] == []
