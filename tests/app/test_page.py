from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

gr = pytest.importorskip("gradio")

from vidcam.app.choice import BUNDLED, Choice, layers, samples  # noqa: E402
from vidcam.app.events import (  # noqa: E402
    CLIP_DROPPED,
    EXPLAIN,
    FILES,
    LABELS_DROPPED,
    MODEL_CHOSEN,
    SAMPLE_CHOSEN,
    WEIGHTS_DROPPED,
)
from vidcam.app.explainer import UNEXPECTED  # noqa: E402
from vidcam.app.jobs import Files  # noqa: E402
from vidcam.app.limits import Limits  # noqa: E402
from vidcam.app.page import _layers, _note, _of_clip, _of_sample, _targets, has_messages, page, queued_jobs  # noqa: E402
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

    def explain(self, session: str, files: Files, choice: Choice, progress: Any) -> Result:
        self.asked.append((session, files, choice))
        progress("explaining", 5, 10)
        if self.fails:
            raise self.fails
        return Result('k"<ey', Path("folder"), session, "here", "clip.mp4")


@pytest.fixture
def explaining() -> Explaining:
    return Explaining()


@pytest.fixture
def blocks(explaining: Explaining) -> Any:
    return page(explaining, Limits(waiting=3), lambda session: None)  # type: ignore[arg-type]


VALUES = ("playground-c3d", "top", "gradcam", "layer2", "viridis")


def _click(blocks: Any, scope: dict[str, Any], sample: str | None = None) -> str:
    request: Any = SimpleNamespace(request=SimpleNamespace(scope=scope), session_hash="session")
    told: list[Any] = []
    found = blocks.fns[EXPLAIN].fn(
        None, sample, None, None, *VALUES, request, lambda share, desc: told.append((share, desc))
    )
    assert told == [(0.0, "Loading the network"), (0.5, "Step 1 of 2: explaining the clip")]
    return str(found)


def test_a_click_explains_the_clip_of_the_request_and_shows_its_report(explaining: Explaining, blocks: Any) -> None:
    shown = _click(blocks, {FILES: Files(UPLOAD)})
    assert explaining.asked == [("session", Files(UPLOAD), Choice(*VALUES))]
    assert 'src="results/k&#34;&lt;ey/report.html"' in shown and 'sandbox="allow-scripts allow-downloads"' in shown
    assert 'href="results/k&#34;&lt;ey/vidcam.zip"' in shown


def test_a_result_of_a_bundled_network_says_what_the_network_is(explaining: Explaining, blocks: Any) -> None:
    note = "playground-c3d was trained on rendered figures, such as the samples, and not on real video."
    assert note in _click(blocks, {FILES: Files(UPLOAD)})
    assert note not in _click(blocks, {FILES: Files(UPLOAD)}, "bowing")
    weights = Upload("w", Path("weights"), "here", "mine.safetensors", kind="weights")
    assert note not in _click(blocks, {FILES: Files(UPLOAD, weights)}), "its own weights know other clips"
    assert explaining.asked[-1][1].weights is weights


def test_a_network_of_real_video_says_that_a_sample_is_none() -> None:
    note = "r3d_18 was trained on real video, and the samples are rendered figures. Its answer about one means nothing."
    assert note in _note("r3d_18", "bowing") and _note("r3d_18", None) == ""
    assert _note("playground-c3d", "bowing") == ""


def test_a_bundled_network_is_chosen_for_samples_and_for_no_other_clip(blocks: Any) -> None:
    assert list(samples()) == ["bowing", "jumping-jack", "kicking", "squatting", "waving", "windmill"]
    assert _of_sample("bowing")[:2] == (None, BUNDLED)
    assert _of_clip(BUNDLED)[:2] == (None, None), "the network of a sample is not kept for a clip"
    assert _of_clip("r3d_18")[:2] == (None, "r3d_18") and _of_clip(None)[:2] == (None, None)
    labelled = {b.label: b.value for b in blocks.blocks.values() if isinstance(b, gr.Dropdown)}
    assert labelled["Network"] is None


def test_what_cannot_be_explained_is_said_and_what_is_unexpected_is_not(explaining: Explaining, blocks: Any) -> None:
    explaining.fails = ClipError("<b>clip.mp4</b> is empty")
    with pytest.raises(gr.Error) as caught:
        _click(blocks, {FILES: Files(UPLOAD)})
    assert caught.value.message == "&lt;b&gt;clip.mp4&lt;/b&gt; is empty"
    explaining.fails = RuntimeError("/secret/path")
    with pytest.raises(gr.Error) as caught:
        _click(blocks, {FILES: Files(UPLOAD)})
    assert caught.value.message == UNEXPECTED


def test_the_events_have_the_numbers_that_requests_are_checked_by(blocks: Any) -> None:
    direct = (MODEL_CHOSEN, CLIP_DROPPED, SAMPLE_CHOSEN, WEIGHTS_DROPPED, LABELS_DROPPED)
    assert (*direct[:2], EXPLAIN, *direct[2:]) == (0, 1, 2, 3, 4, 5)
    assert not any(blocks.fns[number].queue for number in direct) and blocks.fns[EXPLAIN].queue
    assert queued_jobs(blocks) == [] and not has_messages(blocks, "session")


@pytest.mark.slow
def test_the_classes_that_are_offered_are_those_of_the_model() -> None:
    assert _targets("r3d_18") == ["top", "top5", *spec_named("r3d_18").labels()]


def test_the_layers_that_are_offered_are_those_of_the_network() -> None:
    assert _layers(None) == ["auto"]
    first, *others = _layers("playground-c3d")
    assert first == ("auto (relu4b)", "auto") and tuple(others) == layers("playground-c3d")
    assert others[0] == "pool5" and others[-1] == "conv1", "the last layer is not first"
    assert [name for name in layers("playground-r2plus1d") if name.startswith("layer3")] == [
        "layer3", "layer3.shortcut", "layer3.conv2", "layer3.conv1",
    ]  # fmt: skip
