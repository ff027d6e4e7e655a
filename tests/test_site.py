"""The built pages: complete, found by their search from disk, and readable with a screen reader and a keyboard."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import wait_until

ROOT = Path(__file__).parents[1]
TALLEST = 21_000  # pixels of a page of the reference, 1280 wide


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built from scratch: once, also for several processes of pytest-xdist."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'vidcam[dev]'")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    built = folder.with_name("site-is-built")
    with FileLock(folder.with_name("site.lock")):
        if not built.exists():
            run = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            )
            assert run.returncode == 0, run.stderr
            built.touch()
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a browser without a network, in which nothing fails."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert complaints == []


def pages(site: Path) -> list[Path]:
    """All pages but the one that a server shows in place of others."""
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in pages(site):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img|iframe)[^>]* (?:src|href)="(?:https?:)?//[^"]*"', text) == [], path


@pytest.mark.slow
@pytest.mark.parametrize("start", ["index.html", "reference/clips.html"])
def test_the_search_works_from_disk(site: Path, page: Any, start: str) -> None:
    page.goto((site / start).as_uri())
    found = "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href)"
    page.locator("input.md-search__input").press_sequentially("occlusion", delay=20)
    wait_until(page, f"{found}.length > 2", 30)
    links = page.evaluate(found)
    assert any("reference/tensors.html" in link for link in links)
    page.goto(links[0])
    assert "occlusion" in page.locator("article").inner_text()


@pytest.mark.slow
def test_no_page_has_a_serious_fault_for_screen_readers(site: Path, page: Any) -> None:
    assert [fault for path in pages(site) for fault in serious_faults(page, path)] == []


@pytest.mark.slow
def test_no_page_has_a_serious_fault_in_dark_colours(site: Path, page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    for name in ("index.html", "tutorial.html", "how-to/black-box.html", "reference/clips.html"):
        assert serious_faults(page, site / name) == []
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"


def serious_faults(page: Any, path: Path) -> list[tuple[str, str, list[str]]]:
    """The faults of a page that axe calls serious or critical: the page, the rule and parts that break it."""
    page.goto(path.as_uri())
    wait_until(page, "document.getAnimations().length === 0")  # until colours have changed
    whole = _faults(page, {"rules": {"color-contrast": {"enabled": False}}})
    # Colours are looked at for each text, which takes seconds: of a table in three rows, of what is on all pages in one.
    page.evaluate("document.querySelectorAll('tbody').forEach(b => [...b.rows].slice(3).forEach(row => row.remove()))")
    if path.name != "index.html":
        page.evaluate("document.querySelectorAll('.md-header, .md-sidebar, .md-footer').forEach(e => e.remove())")
    colours = _faults(page, {"runOnly": ["color-contrast"]})
    return [(path.name, fault, parts) for fault, parts in whole + colours]


def _faults(page: Any, rules: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The rules that a page breaks and axe calls serious or critical, with parts that break them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    # From disk it could not read style sheets again; it describes no parts but those that break a rule.
    found = axe.Axe().run(page, options={"preload": False, "resultTypes": ["violations"], **rules})
    return [
        (fault["id"], [node["html"][:100] for node in fault["nodes"][:3]])
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.slow
def test_the_reference_is_split(site: Path, page: Any) -> None:
    reference = sorted((site / "reference").glob("*.html"))
    assert len(reference) >= 10
    for path in reference:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollHeight") < TALLEST, path.name
        assert path.stem == "index" or page.locator(".doc-heading").count(), path.name
