from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

gr = pytest.importorskip("gradio")

from vidcam.app.events import CLIP, CLIP_DROPPED, EXPLAIN, MODEL_CHOSEN  # noqa: E402
from vidcam.app.explainer import GONE, UNEXPECTED  # noqa: E402
from vidcam.app.limits import Limits  # noqa: E402
from vidcam.app.page import _targets, has_messages, page, queued_jobs  # noqa: E402
from vidcam.app.results import Result  # noqa: E402
from vidcam.app.uploads import Upload  # noqa: E402
from vidcam.errors import ClipError  # noqa: E402
from vidcam.models.registry import spec_named  # noqa: E402

UPLOAD = Upload("key", Path("upload"), "here", "clip.mp4")


class Explaining:
    """In place of what explains clips."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fails: Exception | None = None

    def explain(self, session: str, upload: Upload, model: str, target: str, method: str, progress: Any) -> Result:
        self.asked.append((session, upload, model, target, method))
        progress(0.5, "watching")
        if self.fails:
            raise self.fails
        return Result('k"<ey', Path("folder"), session, "here", upload.name)


@pytest.fixture
def explaining() -> Explaining:
    return Explaining()


@pytest.fixture
def blocks(explaining: Explaining) -> Any:
    return page(explaining, Limits(waiting=3), lambda session: None)  # type: ignore[arg-type]


def _click(blocks: Any, scope: dict[str, Any]) -> str:
    request: Any = SimpleNamespace(request=SimpleNamespace(scope=scope), session_hash="session")
    told: list[Any] = []
    found = blocks.fns[EXPLAIN].fn(
        None, "playground-c3d", "top", "gradcam", request, lambda share, desc: told.append((share, desc))
    )
    assert told == [(0.5, "watching")]
    return str(found)


def test_a_click_explains_the_clip_of_the_request_and_shows_its_report(explaining: Explaining, blocks: Any) -> None:
    shown = _click(blocks, {CLIP: UPLOAD})
    assert explaining.asked == [("session", UPLOAD, "playground-c3d", "top", "gradcam")]
    assert 'src="results/k&#34;&lt;ey/report.html"' in shown and 'sandbox="allow-scripts allow-downloads"' in shown
    assert 'href="results/k&#34;&lt;ey/vidcam.zip"' in shown


def test_what_cannot_be_explained_is_said_and_what_is_unexpected_is_not(explaining: Explaining, blocks: Any) -> None:
    with pytest.raises(gr.Error, match=GONE[:20]):
        _click(blocks, {CLIP: None})
    explaining.fails = ClipError("<b>clip.mp4</b> is empty")
    with pytest.raises(gr.Error) as caught:
        _click(blocks, {CLIP: UPLOAD})
    assert caught.value.message == "&lt;b&gt;clip.mp4&lt;/b&gt; is empty"
    explaining.fails = RuntimeError("/secret/path")
    with pytest.raises(gr.Error) as caught:
        _click(blocks, {CLIP: UPLOAD})
    assert caught.value.message == UNEXPECTED


def test_the_events_have_the_numbers_that_requests_are_checked_by(blocks: Any) -> None:
    assert (MODEL_CHOSEN, CLIP_DROPPED, EXPLAIN) == (0, 1, 2)
    assert not blocks.fns[MODEL_CHOSEN].queue and not blocks.fns[CLIP_DROPPED].queue and blocks.fns[EXPLAIN].queue
    assert queued_jobs(blocks) == [] and not has_messages(blocks, "session")


@pytest.mark.slow
def test_the_classes_that_are_offered_are_those_of_the_model() -> None:
    assert _targets("r3d_18") == ["top", "top5", *spec_named("r3d_18").labels()]
