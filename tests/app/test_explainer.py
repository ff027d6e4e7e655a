from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vidcam.app.choice import Choice
from vidcam.app.explainer import GONE, UNEXPECTED, Explainer
from vidcam.app.jobs import LABELS_GONE, WEIGHTS_GONE, Files
from vidcam.app.limits import Limits
from vidcam.app.results import Results
from vidcam.app.uploads import Upload
from vidcam.errors import VidcamError
from vidcam.process import Ended, Process


class _Answering(Process):
    """A process whose answer is known."""

    def __init__(self, answer: Any) -> None:
        super().__init__("none")
        self._answer = answer

    def ask(self, question: Any, **limits: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    (tmp_path / "upload").write_bytes(b"clip")
    return Upload("key", tmp_path / "upload", "here", "clip.mp4")


CHOICE = Choice("model", "top", "gradcam++", "auto", "inferno")


def _error(
    place: Path, clip: Upload | None, answer: Any, limits: Limits = Limits(), choice: Choice = CHOICE, **own: Upload
) -> str:
    results = Results(place / "results", limits)
    explainer = Explainer(results, limits)
    explainer._process = _Answering(answer)
    with pytest.raises(VidcamError) as caught:
        explainer.explain("session", Files(clip, **own), choice, lambda step, done, of: None)
    assert not results.place.exists() or list(results.place.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        {"unexpected": "Traceback\nOSError: /secret/place"},
        {"error": "weights cannot be read from '/secret/place/x.pt'"},
        {"error": "C:\\secret is not there"},
    ],
)
def test_no_path_of_the_server_reaches_a_visitor(
    tmp_path: Path, upload: Upload, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert _error(tmp_path, upload, answer) == UNEXPECTED
    assert "secret" in caplog.text


@pytest.mark.parametrize("typed", ["/jump", "a /b", "/"])
def test_what_a_visitor_typed_is_no_path_of_the_server(tmp_path: Path, upload: Upload, typed: str) -> None:
    choice = replace(CHOICE, target=typed)
    said = f"label {typed!r} is not one of the model's 11 classes"
    assert _error(tmp_path / "1", upload, {"error": said}, choice=choice) == said
    assert _error(tmp_path / "2", upload, {"error": f"{said}; see '/secret/place'"}, choice=choice) == UNEXPECTED


def test_what_is_for_the_visitor_is_said(tmp_path: Path, upload: Upload) -> None:
    said = "clip.mp4 has no class 'a/b'; see https://example.org/classes"
    assert _error(tmp_path, upload, {"error": said}) == said
    assert _error(tmp_path, upload, Ended("died")) == "clip.mp4 ended the process that read it; it may be broken."


def test_without_room_or_upload_nothing_is_begun(tmp_path: Path, upload: Upload) -> None:
    assert "too many results" in _error(tmp_path, upload, {}, Limits(results=0))
    weights = Upload("w", tmp_path / "weights", "here", "mine.safetensors", kind="weights")
    assert _error(tmp_path, upload, {}, weights=weights) == WEIGHTS_GONE
    weights.name = "mine.pth"
    assert "the weights are no .safetensors file" in _error(tmp_path, upload, {}, weights=weights)
    labels = Upload("l", tmp_path / "labels", "here", "names.csv", kind="labels")
    assert _error(tmp_path, upload, {}, labels=labels) == LABELS_GONE
    labels.name = "names"
    assert _error(tmp_path, upload, {}, labels=labels).endswith("give a .txt, .csv or .json file")
    upload.path.unlink()
    assert _error(tmp_path, upload, {}) == GONE == _error(tmp_path, None, {})


def test_an_address_has_half_of_the_results(tmp_path: Path) -> None:
    results = Results(tmp_path, Limits(results=4))
    for session in ("a", "b", "b"):
        results.new(session, "here", "clip")
    with pytest.raises(VidcamError, match="network address has too many results"):
        results.new("c", "here", "clip")
    for session in ("c", "d"):
        results.new(session, "there", "clip")
    with pytest.raises(VidcamError, match="on this page now"):
        results.new("e", "elsewhere", "clip")
