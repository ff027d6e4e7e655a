from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import write_video
from vidcam.cam.targets import InTime
from vidcam.engine import spans
from vidcam.engine.attribution import Attributor
from vidcam.engine.loader import Batch, WindowLoader, network_input
from vidcam.engine.spans import SpanLoader, cut_windows, dense_agreement
from vidcam.errors import LayerError, SettingsError
from vidcam.explainer import explain, localize
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.playground.demo import demo_clip
from vidcam.video.reader import Clip
from vidcam.video.windows import Span, Windowing


class Pooled(nn.Module):
    """Looks at one frame in `every`, each by itself: without zeros at the ends of a window, dense is exact."""

    def __init__(self, every: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv3d(3, 6, (1, 3, 3), (every, 2, 2), padding=(0, 1, 1)), nn.ReLU())
        self.fc = nn.Linear(6, 4)
        with torch.no_grad():
            self.fc.weight.mul_(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


def _model(network: nn.Module) -> Model:
    preprocess = Preprocess((16, 16), (16, 16), (0.5,) * 3, (0.1,) * 3)
    return replace(own_model(network, preprocess=preprocess, frames=4, layer="body"), dtype="float32")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (200, 4, 4, 3), np.uint8)
    frames = [np.kron(block, np.ones((8, 8, 1), np.uint8)) for block in blocks]
    return write_video(tmp_path_factory.mktemp("dense") / "long.mp4", frames)


@pytest.mark.parametrize(
    ("every", "stride", "rate"), [(1, 1, 1), (1, 3, 1), (2, 2, 1), (1, 2, 2), (2, 4, 2), (1, 6, 3)]
)
@pytest.mark.parametrize("target", ["top", 2])
def test_dense_is_window_by_window_where_no_zeros_pad(
    long_clip: Path, every: int, stride: int, rate: int, target: str | int
) -> None:
    model = _model(Pooled(every))
    exact = explain(long_clip, model, target, stride=stride, sampling_rate=rate, context=False)
    dense = explain(long_clip, model, target, stride=stride, sampling_rate=rate, dense=True)
    assert dense.window_starts.tolist() == exact.window_starts.tolist()
    assert dense.target.index == exact.target.index
    # The last window begins where the clip's end asks for; between two steps or frames it is interpolated.
    whole = exact.window_starts[-1] % (every * rate) == 0
    frames = exact.frames if whole else int(exact.window_starts[-1])
    np.testing.assert_allclose(dense.maps[:frames], exact.maps[:frames], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(dense.scores[:frames], exact.scores[:frames], rtol=1e-3, atol=1e-5)
    assert exact.computation["dense"] is False
    assert dense.computation["dense"] is True and dense.computation["dense_agreement"] == pytest.approx(1, abs=1e-4)
    assert any("correlate by 1.000 with those window by window, the same top" in note for note in dense.warnings)


def test_a_short_clip_is_padded_alike(tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", [np.full((32, 32, 3), 40 * n, np.uint8) for n in range(3)])
    exact, dense = (explain(path, _model(Pooled(1)), 1, dense=dense, context=False) for dense in (False, True))
    np.testing.assert_allclose(dense.maps, exact.maps, rtol=1e-3, atol=1e-5)
    assert any("fewer than one window" in note for note in dense.warnings)


@pytest.mark.slow
def test_localize_is_the_same(long_clip: Path) -> None:
    exact, dense = (localize(long_clip, _model(Pooled(1)), dense=dense, context=False) for dense in (False, True))
    assert dense.labels == exact.labels
    np.testing.assert_allclose(dense.curves(), exact.curves(), rtol=1e-3, atol=1e-5)
    assert any(note.startswith("dense: ") for note in dense.warnings)


class Edged(Pooled):
    """Looks at three frames at once: the zeros at both ends of a window make dense another computation."""

    def __init__(self) -> None:
        super().__init__(1)
        self.body[0] = nn.Conv3d(3, 6, 3, (1, 2, 2), padding=1)


def test_the_agreement_is_that_of_the_first_two_windows_with_those_window_by_window(long_clip: Path) -> None:
    model = _model(Edged())
    target = int(model.network.fc.weight.sum(1).argmax())  # Grad-CAM++ sees nothing of a class without positive weights
    exact, dense = (
        explain(long_clip, model, target, stride=4, dense=dense, context=False, factor="none")
        for dense in (False, True)
    )
    told = dense.computation["dense_agreement"]
    first = np.corrcoef(exact.maps[:4].ravel(), dense.maps[:4].ravel())[0, 1]  # frames of the first window alone
    assert told < 0.999 and abs(told - first) < 0.05
    assert f"maps correlate by {told:.3f} with" in dense.warnings[-1]
    spec, windowing = model.spec, Windowing(4, 4)
    loader = SpanLoader(Clip(long_clip), spec, windowing, lambda d, o: None, 4)
    attributor = Attributor(model, ["body"], ["gradcam++"])
    with closing(loader.batches(model)) as batches:
        batch = next(batches)
    dense = attributor.maps(batch, lambda p: [[target]] * len(p))
    singly = attributor.maps(
        Batch([0, 4], network_input(model, [w.frames for w in loader.first(2)])), lambda p: [[target]] * len(p)
    )
    stacks = [np.stack([m[target].heat["gradcam++", "body"] for m in some[:2]]) for some in (dense.maps, singly.maps)]
    found = dense_agreement(loader, attributor, batch, dense)
    assert found.correlation == pytest.approx(np.corrcoef(*(s.ravel() for s in stacks))[0, 1], abs=1e-5)
    assert found.correlation == pytest.approx(told, abs=1e-5)
    assert found.same_top
    other = dense_agreement(loader, attributor, batch, replace(dense, probabilities=dense.probabilities[:, ::-1]))
    assert not other.same_top and other.correlation == found.correlation


def test_a_class_at_a_time_of_a_clip_of_one_frame_agrees(tmp_path: Path) -> None:
    """A single frame lasts as long as the frame rate tells, in the windows of both computations."""
    path = write_video(tmp_path / "one.mp4", [np.full((32, 32, 3), 90, np.uint8)])
    model = _model(Pooled(1))
    key = InTime(int(model.network.fc.weight.sum(1).argmax()), 0.03, "@ 0.03 s")
    loader = SpanLoader(Clip(path), model.spec, Windowing(4, 4), lambda d, o: None, 4)
    attributor = Attributor(model, ["body"], ["gradcam"])
    (batch,) = loader.batches(model)
    dense = attributor.maps(batch, lambda p: [[key]])
    assert dense.maps[0][key].heat["gradcam", "body"].any()
    assert dense_agreement(loader, attributor, batch, dense).correlation == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_bundled_network_agrees_and_says_how_far() -> None:
    exact, dense = (explain(demo_clip(), dense=dense, stride=4) for dense in (False, True))
    assert dense.target.index == exact.target.index
    assert 0.95 < np.corrcoef(dense.maps.ravel(), exact.maps.ravel())[0, 1] < 1
    told = dense.computation["dense_agreement"]
    assert told < 1 and any(f"{told:.3f}" in note for note in dense.warnings)


def test_windows_are_cut_and_interpolated() -> None:
    # A layer with a step every 2 frames, of 10 frames that begin at the clip's frame 8: steps 0 to 4.
    span = Span(8, tuple(range(10)), ())
    output = torch.arange(5.0).view(1, 1, 5, 1, 1) ** 2
    cut = cut_windows(output, span=span, starts=[8, 10, 11, 14], windowing=Windowing(4, 1), steps=2)
    assert cut.shape == (4, 1, 2, 1, 1)
    assert cut.flatten(1).tolist() == [[0, 1], [1, 4], [2.5, 6.5], [9, 16]]
    at_rate_two = cut_windows(output, span=span, starts=[17], windowing=Windowing(4, 1, 2), steps=2)
    assert at_rate_two.flatten().tolist() == [0.25, 1.75]
    # Of 30 frames every third is in the span; the last window ends after the last of these.
    output = torch.arange(10.0).view(1, 1, 10, 1, 1)
    last = cut_windows(output, span=Span(0, tuple(range(10)), ()), starts=[20], windowing=Windowing(4, 1, 3), steps=4)
    assert last.flatten().tolist() == pytest.approx([20 / 3, 23 / 3, 26 / 3, 9])


@pytest.mark.parametrize("shape", [(1, 1, 4, 1, 1), (1, 1, 6, 1, 1), (1, 1, 5, 1)])
def test_a_layer_has_as_many_steps_as_its_frames_ask_for(shape: tuple[int, ...]) -> None:
    span, windowing = Span(8, tuple(range(9)), ()), Windowing(4, 1)
    cut_windows(torch.zeros(1, 1, 5, 1, 1), span=span, starts=[8], windowing=windowing, steps=2)
    with pytest.raises(LayerError, match="for a span of 9 frames, where 5 steps in time were expected"):
        cut_windows(torch.zeros(shape), span=span, starts=[8], windowing=windowing, steps=2)


class Attending(nn.Module):
    """Knows windows of four frames only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x[:, :, :4]).relu().mean((3, 4)).flatten(1))


def test_what_cannot_be_dense_is_refused(long_clip: Path) -> None:
    with pytest.raises(LayerError, match="window by window, without dense"):
        explain(long_clip, _model(Attending()), 1, layer="body", dense=True)
    with pytest.raises(LayerError, match="dense explains one layer"):
        explain(long_clip, _model(Pooled(1)), 1, layer="body.0,body", dense=True)
    with pytest.raises(SettingsError, match="scorecam runs the network anew"):
        explain(long_clip, _model(Pooled(1)), 1, method="scorecam", dense=True)
    with pytest.raises(SettingsError, match="rise runs the network anew"):
        explain(long_clip, _model(Pooled(1)), 1, method="rise", dense=True)


@pytest.mark.parametrize(("at_once", "frames"), [(0.25, 16), (1, 32), (2, 64), (100, 128)])
def test_a_span_is_as_long_as_the_windows_that_fit_into_memory(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch, at_once: float, frames: int
) -> None:
    """Eight times as many windows of four frames, end to end, but four to thirty-two of them."""
    model = _model(Pooled(1))
    monkeypatch.setattr(spans, "windows_at_once", lambda model: at_once)
    loader = SpanLoader(Clip(long_clip), model.spec, Windowing(4, 4), lambda d, o: None, 4)
    batches = list(loader.batches(model))
    assert batches[0].given.shape == (1, 3, frames, 16, 16) and max(b.given.shape[2] for b in batches) == frames
    starts = [start for batch in batches for start in batch.starts]
    assert starts == list(range(0, 197, 4))
    for batch in batches:
        assert batch.times is not None
        np.testing.assert_allclose(batch.times, (np.array(batch.starts)[:, None] + np.arange(4)) / 10)
    again = [batch.starts for batch in loader.batches(model, only=[8, 100])]
    assert [start for some in again for start in some] == [8, 100] and [] not in again


def test_a_span_holds_many_windows(long_clip: Path) -> None:
    model = load_model("playground-r2plus1d")
    clip, windowing = Clip(long_clip), Windowing(16, 4)
    dense = [len(b.starts) for b in SpanLoader(clip, model.spec, windowing, lambda d, o: None, 8).batches(model)]
    exact = [len(b.starts) for b in WindowLoader(clip, model.spec, windowing, lambda d, o: None).batches(model)]
    assert sum(dense) == sum(exact) == 47 and dense == [47]
