from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vidcam.engine import loader as loader_module
from vidcam.engine.loader import Batch, WindowLoader, network_input, windowing_of
from vidcam.errors import SettingsError
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.video.source import ArraySource
from vidcam.video.windows import Windowing, sliding_windows

FRAMES = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), np.uint8)


def _model(frame_rate: float | None = 10.0, frames: int = 8) -> Model:
    network = nn.Sequential(nn.Conv3d(3, 2, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    preprocess = Preprocess((16, 16), (16, 16), (0.5,) * 3, (0.25,) * 3)
    return own_model(network, preprocess=preprocess, frames=frames, frame_rate=frame_rate, layer="0")


def _loader(windowing: Windowing, model: Model, rate: float = 10, frames: np.ndarray = FRAMES) -> WindowLoader:
    return WindowLoader(ArraySource(frames, rate, "some/array"), model.spec, windowing, lambda done, of: None)


@given(st.floats(1, 240), st.floats(1, 60), st.integers(1, 32), st.integers(1, 4))
def test_the_sampling_rate_is_the_whole_number_nearest_to_the_ratio_of_the_rates(
    frame_rate: float, trained: float, length: int, overlap: int
) -> None:
    found = windowing_of(frame_rate, _model(trained, length).spec, None, None, overlap=overlap)
    ratio, rate = frame_rate / trained, found.sampling_rate
    assert rate >= 1 and abs(ratio - rate) <= max(0.5, 1 - ratio) + 1e-9
    assert found.length == length and found.stride == max(1, ((length - 1) * rate + 1) // overlap)


@pytest.mark.parametrize(("frame_rate", "rate"), [(16, 2), (14, 1), (29.97, 3), (25, 2), (4, 1)])
def test_sampling_rates_by_hand(frame_rate: float, rate: int) -> None:
    spec = _model(10.0).spec
    assert windowing_of(frame_rate, spec, None, None, overlap=2) == Windowing(8, (7 * rate + 1) // 2, rate)


def test_what_is_given_goes_before_what_is_natural() -> None:
    assert windowing_of(100, _model().spec, 3, 2, overlap=2) == Windowing(8, 3, 2)
    assert windowing_of(100, _model(None).spec, None, None, overlap=4) == Windowing(8, 2, 1)
    with pytest.raises(SettingsError, match="would leave frames unexplained"):
        windowing_of(10, _model().spec, 9, None, overlap=2)


def test_batches_hold_the_windows_normalised_and_again_each_time() -> None:
    model, windowing = _model(), Windowing(8, 3, 2)
    loader = _loader(windowing, model)
    expected = list(sliding_windows(FRAMES, windowing))
    for _ in range(2):
        batches = list(loader.batches(model))
        assert [s for b in batches for s in b.starts] == [w.start for w in expected]
        given_ = torch.cat([b.given for b in batches])
        pixels = torch.from_numpy(np.stack([np.stack(w.frames) for w in expected])).permute(0, 4, 1, 2, 3)
        torch.testing.assert_close(given_, (pixels / 255 - 0.5) / 0.25)
        assert loader.times == [index / 10 for index in range(30)]
    some = [s for b in loader.batches(model, only=[3, 9]) for s in b.starts]
    assert some == [3, 9]
    assert [w.start for w in loader.first(2)] == [0, 3]
    assert threading.active_count() == 1 or not any(t.name == "vidcam-ahead" for t in threading.enumerate())


def test_the_input_of_the_network_is_its_windows() -> None:
    model = _model()
    one, two = FRAMES[:8], FRAMES[10:18]
    found = network_input(model, [list(one), list(two)])
    assert found.shape == (2, 3, 8, 16, 16)
    expected = (torch.from_numpy(np.stack([one, two])).permute(0, 4, 1, 2, 3) / 255 - 0.5) / 0.25
    torch.testing.assert_close(found, expected)


def test_progress_counts_the_frames() -> None:
    model, seen = _model(), []
    source = ArraySource(FRAMES, 10)
    loader = WindowLoader(source, model.spec, Windowing(8, 4), lambda done, of: seen.append((done, of)))
    list(loader.batches(model))
    assert seen == [(n, 30) for n in range(1, 31)]
    list(loader.batches(model))  # a second reading is no step back
    assert len(seen) == 30


def test_the_input_is_laid_out_as_convolutions_are_fastest() -> None:
    found = network_input(_model(), [list(FRAMES[:8])])
    assert found.is_contiguous(memory_format=torch.channels_last_3d) and not found.is_contiguous()


def test_batches_have_the_times_of_their_frames() -> None:
    """Frames before and after the clip, and those that fill up a window, have none."""
    model, nan = _model(frames=3), float("nan")
    source = ArraySource(FRAMES[:6], 10)
    loader = WindowLoader(source, model.spec, Windowing(3, 2, 2), lambda done, of: None, context=True)
    times = {s: t for b in loader.batches(model) for s, t in zip(b.starts, b.times.tolist())}  # type: ignore[union-attr]
    expected = {-2: [nan, 0, 0.2], 0: [0, 0.2, 0.4], 1: [0.1, 0.3, 0.5], 3: [0.3, 0.5, nan]}
    assert {s: pytest.approx(t, nan_ok=True) for s, t in times.items()} == expected
    (batch,) = _loader(Windowing(8, 4), _model(), frames=FRAMES[:3]).batches(model)
    assert batch.times is not None
    np.testing.assert_allclose(batch.times, [[0, 0.1, 0.2, *[nan] * 5]])
    steps = [next(iter(_loader(Windowing(3, 2, rate), model).batches(model))).step for rate in (1, 2)]
    assert steps == pytest.approx([0.1, 0.2])


def test_a_part_of_a_batch_has_the_times_of_its_windows() -> None:
    batch = Batch([0, 4, 8], torch.arange(3.0), times=np.arange(6.0).reshape(3, 2), step=0.5)
    part = batch.part(slice(1, None))
    assert part.starts == [4, 8] and part.given.tolist() == [1, 2] and part.step == 0.5
    assert part.times is not None and part.times.tolist() == [[2, 3], [4, 5]]
    assert Batch([0, 4], torch.arange(2.0)).part(slice(1)).times is None


def test_windows_inside_the_clip_begin_and_end_in_it() -> None:
    loader = _loader(Windowing(3, 2, 2), _model())  # a span of 5 frames
    list(loader.frames())
    assert loader.inside([-1, 0, 1, 24, 25, 26]).tolist() == [False, True, True, True, True, False]
    short = _loader(Windowing(8, 4), _model(), frames=FRAMES[:3])
    list(short.frames())
    assert short.inside([-1, 0, 1]).tolist() == [False, True, False]


def test_freed_memory_goes_back_to_the_kernel_every_sixteen_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back = []
    monkeypatch.setattr(loader_module, "give_back_freed_memory", lambda: given_back.append(len(seen)))
    monkeypatch.setattr(loader_module, "windows_at_once", lambda model: 2)
    windows, seen = sliding_windows(np.resize(FRAMES, (72, 16, 16, 3)), Windowing(8, 1)), []
    for batch in loader_module.batches(_model(), windows):
        seen.append(len(batch.starts))
    assert seen == [2] * 32 + [1] and given_back == [16, 32]


@pytest.mark.parametrize(("frame_rate", "said"), [(10, False), (12.9, False), (13.1, True), (7.8, False), (7.6, True)])
def test_a_rate_that_the_network_was_not_trained_at_is_said(frame_rate: float, said: bool) -> None:
    model = _model()
    loader = _loader(Windowing(8, 4), model, frame_rate)
    list(loader.frames())
    notes = [n for n in loader.warnings() if "was trained at 10; give another sampling rate" in n]
    assert len(notes) == said and all(n.startswith(f"array: the network sees {frame_rate:.3g} frames") for n in notes)


def test_repeated_times_and_one_long_step_are_no_varying_rate() -> None:
    loader = _loader(Windowing(8, 4), _model())
    loader.times = np.cumsum([0.1] * 9 + [0.9] + [0.1] * 12).tolist()
    assert loader.warnings() == ()
    loader.times = [0.0] * 6 + [0.1, 0.2, 0.3, 0.4]
    assert loader.warnings() == ()


@pytest.mark.parametrize(("long", "said"), [(0.18, False), (0.2, True)])
def test_a_rate_that_varies_is_said(long: float, said: bool) -> None:
    loader = _loader(Windowing(8, 4), _model())
    loader.times = np.cumsum([0.1] * 20 + [long] * 20).tolist()
    notes = [n for n in loader.warnings() if "varies" in n]
    assert notes == (["array: its frame rate varies from 5 to 10 a second, and windows count frames: scores and times "
                      "are less certain; make its rate constant to be sure"] if said else [])  # fmt: skip
    loader.times = loader.times[16:24]
    assert loader.warnings() == ()  # too few to know
    loader.times = np.cumsum([0.1] * 5 + [long] * 4).tolist()
    assert bool(loader.warnings()) == said


def test_a_network_of_any_rate_and_a_padded_window() -> None:
    model = _model(None)
    loader = _loader(Windowing(8, 4), model, 90)
    list(loader.batches(model))
    assert loader.padded == 0 and loader.warnings() == ()
    short = _loader(Windowing(8, 4), model, 90, FRAMES[:5])
    (batch,) = short.batches(model)
    assert batch.starts == [0] and short.padded == 3
    torch.testing.assert_close(batch.given[0, :, 4:], batch.given[0, :, 4:5].expand(-1, 4, -1, -1))
    assert short.warnings() == (
        "array: its 5 frames are fewer than one window of 8; the last frame is repeated to fill it",
    )
