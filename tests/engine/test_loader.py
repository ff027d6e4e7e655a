from __future__ import annotations

import re
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
def test_windows_are_cut_at_the_clips_rate_or_the_networks(
    frame_rate: float, trained: float, length: int, overlap: int
) -> None:
    found = windowing_of(frame_rate, _model(trained, length).spec, None, None, overlap=overlap)
    rate = found.sampling_rate
    assert rate >= 1 and found.rate == rate * trained
    assert rate == 1 or abs(found.rate / frame_rate - 1) < 0.0102
    assert found.length == length and found.stride == max(1, ((length - 1) * rate + 1) // overlap)


@pytest.mark.parametrize(
    ("frame_rate", "rate"), [(10, 1), (20, 2), (16, 1), (14, 1), (29.97, 3), (60, 6), (25, 1), (4, 1), (0.1, 1)]
)
def test_sampling_rates_by_hand(frame_rate: float, rate: int) -> None:
    spec = _model(10.0).spec
    assert windowing_of(frame_rate, spec, None, None, overlap=2) == Windowing(8, (7 * rate + 1) // 2, rate, 10.0 * rate)


@given(st.floats(1, 240), st.integers(1, 500))
def test_a_stride_in_source_frames_is_the_nearest_number_of_instants(frame_rate: float, stride: int) -> None:
    spec = _model(10.0).spec
    try:
        found = windowing_of(frame_rate, spec, stride, None, overlap=2)
    except SettingsError as error:
        (longest,) = re.findall(r"give a stride of at most (\d+)", str(error))
        assert stride > int(longest) and int(longest) == pytest.approx(0.8 * frame_rate, abs=0.1 * frame_rate + 1)
        return
    assert found.rate is not None and found.stride <= found.span
    assert found.stride == 1 or abs(found.stride / found.rate - stride / frame_rate) <= 0.5 / found.rate + 1e-9


def test_what_is_given_goes_before_what_is_natural() -> None:
    assert windowing_of(100, _model().spec, 3, 2, overlap=2) == Windowing(8, 3, 2)
    assert windowing_of(100, _model(None).spec, None, None, overlap=4) == Windowing(8, 2, 1)
    with pytest.raises(SettingsError, match=r"a window of 8 source frames .8 frames at 10 a second. and would leave"):
        windowing_of(10, _model().spec, 9, None, overlap=2)
    with pytest.raises(SettingsError, match=r"a window of 15 source frames .8 frames at sampling rate 2. and would"):
        windowing_of(10, _model().spec, 16, 2, overlap=2)


@pytest.mark.parametrize("frame_rate", [25, 8, 29.97, 33])
def test_windows_show_the_frames_nearest_to_their_instants(frame_rate: float) -> None:
    model = _model()
    windowing = windowing_of(frame_rate, model.spec, None, None, overlap=2)
    loader = _loader(windowing, model, frame_rate)
    windows = list(sliding_windows(loader.frames(), windowing))
    times = np.arange(30) / float(loader.source.frame_rate)
    assert len(windows) > 1
    for window in windows[:-1]:
        for step, shown in enumerate(window.frames):
            away = np.abs(times - window.start / windowing.rate - step / 10)
            nearest = FRAMES[away < away.min() + 1e-9]  # two, if the instant is in the middle between them
            assert (nearest == shown).all((1, 2, 3)).any()
    assert [w.start for w in loader.first(2)] == [w.start for w in windows[:2]]
    for again, window in zip(loader.first(2), windows):
        np.testing.assert_array_equal(again.frames, window.frames)
    (some, *_) = loader.batches(model)
    np.testing.assert_allclose(some.times[0], np.arange(8) / 10)
    assert some.step == pytest.approx(0.1)


def test_values_at_instants_become_values_of_source_frames() -> None:
    loader = _loader(windowing_of(25, _model().spec, None, None, overlap=2), _model(), 25)
    list(loader.frames())
    values = np.array(loader.instants, np.float32)[:, None] * np.array([1, -2], np.float32)  # linear in time
    found = loader.on_source(values)
    inside = np.minimum(loader.times, loader.instants[-1])
    np.testing.assert_allclose(found, np.stack([inside, -2 * inside], 1), atol=1e-6)
    same = _loader(windowing_of(20, _model().spec, None, None, overlap=2), _model(), 20)
    list(same.frames())
    assert same.on_source(values[:30]) is not None and same.on_source(values[:30]).base is values


def test_a_picture_shows_itself_once() -> None:
    loader = _loader(windowing_of(0.5, _model().spec, None, None, overlap=2), _model(), 0.5, FRAMES[:1])
    assert len(list(loader.frames())) == 2 * 8  # it lasts 2 s, 20 instants, and all windows show the same
    loader.source.is_image = True
    assert len(list(loader.frames())) == 1


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


@pytest.mark.parametrize(("frame_rate", "said"), [(7.8, False), (7.6, True), (60, False)])
def test_a_clip_slower_than_the_network_is_said(frame_rate: float, said: bool) -> None:
    model = _model()
    loader = _loader(windowing_of(frame_rate, model.spec, None, None, overlap=2), model, frame_rate)
    list(loader.frames())
    assert loader.warnings() == ((
        f"array: its frame rate is as low as {frame_rate} a second, and the network was trained at 10; frames are repeated, "
        "and movements between them are not seen",
    ) if said else ())  # fmt: skip


def test_repeated_times_and_one_long_step_are_no_varying_rate() -> None:
    loader = _loader(Windowing(8, 4), _model())
    loader.times = np.cumsum([0.1] * 9 + [0.9] + [0.1] * 12).tolist()
    (note,) = loader.warnings()
    assert "no new frame" in note
    loader.times = [0.0] * 6 + [0.1, 0.2, 0.3, 0.4]
    assert loader.warnings() == ()


@pytest.mark.parametrize(("long", "said"), [(0.18, False), (0.2, True)])
def test_a_rate_that_varies_is_said(long: float, said: bool) -> None:
    loader = _loader(Windowing(8, 4), _model())
    loader.times = np.cumsum([0.1] * 20 + [long] * 20).tolist()
    notes = [n for n in loader.warnings() if "varies" in n]
    assert notes == (["array: its frame rate varies from 5 to 10 a second, and windows count frames: scores and times "
                      "are less certain; leave out the sampling rate, and windows are cut by time"] if said else [])  # fmt: skip
    loader.times = loader.times[16:24]
    assert loader.warnings() == ()  # too few to know
    loader.times = np.cumsum([0.1] * 5 + [long] * 4).tolist()
    assert bool(loader.warnings()) == said


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([0.1] * 20, None),
        ([0.1] * 10 + [0.3] + [0.1] * 10, None),
        ([0.1] * 10 + [0.35] + [0.1] * 10, "in 1 place, the longest from 1.00 to 1.35 s; the frame before is held"),
        ([0.1] * 10 + [0.5] + [0.1] * 5 + [0.9] + [0.1] * 9, "in 2 places, the longest from 2.00 to 2.90 s"),
        ([0.02] * 20 + [0.15] + [0.02] * 20, None),  # no longer than 0.2 s
        ([0.1, 0.5, 0.2, 0.4] * 6, None),  # it varies
        ([0.1] * 20 + [4000.0] + [0.1] * 20, None),  # the reader says it
    ],
)
def test_gaps_are_said(steps: list[float], said: str | None) -> None:
    loader = _loader(Windowing(8, 4, 1, 10.0), _model())
    loader.times = np.concatenate([[0.0], np.cumsum(steps)]).tolist()
    notes = [note for note in loader.warnings() if "no new frame" in note]
    assert len(notes) == (said is not None) and all(f"array: there is no new frame {said}" in note for note in notes)


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
