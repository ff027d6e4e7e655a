"""Live runs from end to end: handed-over frames, a file at its own pace, a stream."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from tests.live.clock import ManualClock
from tests.live.sending import free_port, send
from vidcam.errors import ClipError, LayerError, SettingsError, TargetError
from vidcam.explainer import Explainer
from vidcam.live.causal import CausalExplanation
from vidcam.live.frame import LiveFrame
from vidcam.live.network import LiveNetwork
from vidcam.live.run import Live
from vidcam.playground.demo import demo_clip
from vidcam.recipe import Recipe
from vidcam.video.reader import Clip


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("playground-r2plus1d", Recipe(dtype="float32", context=False, stride=4))


def test_handed_over_frames_are_explained_as_a_clip(explainer: Explainer) -> None:
    clip = Clip(demo_clip(), end=2.5)
    whole = explainer.explain(clip, "waving")[0]
    with explainer.live(clip, "waving") as live:
        steps = list(live)
    assert len(steps) == whole.frames and live.summary.skipped == 0 and live.summary.unexplained == 0
    assert np.allclose([s.score for s in steps], whole.scores, atol=1e-4)
    assert np.allclose([s.heat for s in steps], whole.maps, atol=1e-3 * whole.peak)
    assert np.allclose([s.time for s in steps], whole.times)
    heights = [s.overlay.shape for s in steps]
    assert len(set(heights)) == 1 and heights[0][1] >= 320


def test_the_scale_is_never_below_the_heat(explainer: Explainer) -> None:
    with explainer.live(Clip(demo_clip(), end=2.0)) as live:
        for step in live:
            assert step.heat is not None and step.scale >= step.heat.max() - 1e-6
            assert step.label in explainer.model.labels


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf")])
def test_a_time_that_never_comes_or_is_over_is_refused(explainer: Explainer, seconds: float) -> None:
    with pytest.raises(SettingsError, match="give a number above 0"):
        explainer.live(np.zeros((4, 8, 8, 3), np.uint8), seconds=seconds)


@pytest.mark.slow
def test_a_file_at_its_own_pace_shows_every_frame(explainer: Explainer, tmp_path: Path) -> None:
    with explainer.live(str(demo_clip())) as live:
        times = [step.time for step in live]
    assert np.allclose(times, [frame.time for frame in Clip(demo_clip())])


@pytest.mark.slow
def test_a_stream_is_shown_frame_by_frame_and_the_run_ends_in_time(explainer: Explainer) -> None:
    port = free_port()
    with send(demo_clip(), port) as sender, explainer.live(f"tcp://127.0.0.1:{port}", seconds=30) as live:
        indices = []
        for step in live:
            indices.append(step.frame.index)
            if step.scores is not None and len(indices) >= 40:
                break
        assert isinstance(sender, subprocess.Popen)
    assert indices == list(range(len(indices)))
    assert live.summary.stretches == 1


class _Stalled:
    """A source that gives three frames and then nothing until it is released."""

    name, paced = "camera", True

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self.released = clock, Event()

    def frames(self) -> Iterator[LiveFrame]:
        for index in range(3):
            yield LiveFrame(
                index, 0, index / 10, self._clock.now(), self._clock.now(), 10.0, np.zeros((8, 8, 3), np.uint8)
            )
        self.released.wait()


def test_a_run_that_stalls_says_so_and_ends_in_time_with_all_its_frames(explainer: Explainer) -> None:
    clock, notes = ManualClock(), []
    source, model = _Stalled(clock), explainer.model
    network = LiveNetwork(model, "layer3", "gradcam++", "probability", "float32", None)
    causal = CausalExplanation(model, None, "")
    live = Live(
        source, clock, network, causal, model.spec.preprocess, explainer.windowing, seconds=100.0, note=notes.append
    )
    steps = iter(live)
    assert live.state == "waiting for the first frame"
    while not live._ring._frames or len(live._ring._frames) < 3:
        source.released.wait(0.01)
    clock.seconds = 50.0  # the frames have waited for long enough for windows that do not come
    assert [next(steps).frame.index for _ in range(3)] == [0, 1, 2]
    clock.seconds = 51.0
    while not notes:
        source.released.wait(0.01)
    assert notes == ["camera: no frame for 50 s; it is waited for"] or notes == [
        "camera: no frame for 51 s; it is waited for"
    ]
    assert live.state.startswith("no frame for 5")
    clock.seconds = 101.0
    assert list(steps) == [] and live.summary.frames == live.summary.unexplained == 3
    source.released.set()
    live.close()


def test_an_error_of_the_source_ends_the_run(explainer: Explainer) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((64, 64, 3), np.uint8)
        yield np.zeros((32, 64, 3), np.uint8)

    with explainer.live(broken(), note=lambda text: None) as live, pytest.raises(ClipError, match="frames of one size"):
        list(live)


def test_a_run_that_is_left_ends_its_threads(explainer: Explainer) -> None:
    frames = (np.zeros((64, 64, 3), np.uint8) for _ in range(10_000))
    with explainer.live(frames, note=lambda text: None) as live:
        next(iter(live))
    assert not any(thread.is_alive() for thread in live._threads)


@pytest.mark.parametrize(
    ("recipe", "target", "kind", "text"),
    [
        (Recipe(dense=True), "top", SettingsError, "are for clips"),
        (Recipe(evidence="motion"), "top", SettingsError, "are for clips"),
        (Recipe(factor="exp"), "top", SettingsError, "which a stream has not seen"),
        (Recipe(method="gradcam,gradcam++"), "top", SettingsError, "a stream has one"),
        (Recipe(layer="layer2,layer3"), "top", LayerError, "give one"),
        (Recipe(), "top5", TargetError, "a stream shows one"),
        (Recipe(), "waving @ 2", TargetError, "has a time"),
        (Recipe(), "flying", TargetError, "not one of the model's"),
    ],
    ids=str,
)
def test_what_does_not_fit_a_stream_is_refused(recipe: Recipe, target: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Explainer("playground-r2plus1d", recipe).live(np.zeros((20, 64, 64, 3), np.uint8), target)


def test_a_missing_file_and_an_unknown_scheme_are_refused(explainer: Explainer) -> None:
    with pytest.raises(ClipError, match="does not exist"):
        explainer.live("no-such-file.mp4")
    with pytest.raises(ClipError, match="is no stream"):
        explainer.live("gopher://user:secret@host/x")
