from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidcam.results.localization import Localization
from vidcam.temporal.segments import Segment
from vidcam.video.reader import Clip, Frame


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many frames clips gave since the test began."""
    count = 0
    plain = Clip.__iter__

    def counted(self: Clip) -> Iterator[Frame]:
        nonlocal count
        for frame in plain(self):
            count += 1
            yield frame

    monkeypatch.setattr(Clip, "__iter__", counted)
    return lambda: count


def localization(clip: Path, frames: int, size: tuple[int, int], **changes: Any) -> Localization:
    """Two classes at 10 frames per second: the first half of the clip is one, the second half the other."""
    half = np.arange(frames) < frames // 2
    scores = np.stack([np.where(half, 0.8, 0.1), np.where(half, 0.2, 0.6)]).astype(np.float32)
    maps = np.zeros((2, frames, 3, 4), np.float32)
    maps[:, :, 1, 1], maps[:, :, 0, 3] = scores, 2 * scores
    values: dict[str, Any] = {
        "clip": str(clip),
        "model": "m",
        "layer": "l",
        "method": "gradcam++",
        "region": (0.0, 0.0, float(size[1]), float(size[0])),
        "windowing": {"length": 16, "stride": 4, "sampling_rate": 1, "rate": None},
        "times": np.arange(frames) / 10,
        "labels": ("waving", "bowing"),
        "scores": scores,
        "evidence": maps.mean((2, 3)),
        "maps": maps,
        "curve": "score",
        "segments": (Segment(0.0, frames / 20, "waving", 0.8), Segment(frames / 20, frames / 10, "bowing", 0.6)),
        **changes,
    }
    return Localization(**values)


def serious(browser: Any, written: Path, scheme: str, width: int) -> list[Any]:
    """The serious findings of axe on a page, and the page's width if it is wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(written.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    found: list[Any] = [
        (v["id"], v["impact"], v["nodes"][0]["html"])
        for v in Axe().run(page).response["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    return found if wide <= width else [*found, wide]


def assert_opens_with_a_loaded_film(browser: Any, path: Path, shown: str) -> None:
    """A page whose film is loaded before its script runs has no error, and elements of the selector `shown`."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script("Object.defineProperty(HTMLMediaElement.prototype, 'readyState', { get: () => 4 })")
    page.goto(path.as_uri())
    page.wait_for_timeout(500)
    assert complaints == [] and page.locator(shown).count() > 0
    page.close()
