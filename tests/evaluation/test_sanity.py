from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.evaluation.inference import Subject, pixels, predict
from vidcam.evaluation.samples import Sample
from vidcam.evaluation.sanity import Sanity, _recoded, _runner_up
from vidcam.explainer import Explainer
from vidcam.export.measures import sanity_figure
from vidcam.metrics.sanity import cascading_randomisation, rank_correlation
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.recipe import Recipe
from vidcam.results.explanation import Explanation
from vidcam.video.reader import Clip
from vidcam.video.writer import FilmWriter


class Coloured(nn.Module):
    """Scores are the mean red, green and blue: the map of a class is its colour, frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv3d(3, 3, 1, bias=False), nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(3).view(3, 3, 1, 1, 1))
            self.fc.weight.copy_(10 * torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


RNG = np.random.default_rng(0)
# Red, then green; blue is faint, and "nothing" as far as the network has such a class.
FRAMES = RNG.integers(0, 60, (24, 16, 20, 3), np.uint8) + np.array([150, 90, 0], np.uint8)
FRAMES[:, :8, :, 0] += 40
FRAMES[16:, :, 8:, 0] += 9
SAMPLE = Sample("clip", FRAMES, 10)


def _subject(method: str = "gradcam,hirescam", background: str | None = None) -> Subject:
    preprocess = Preprocess((16, 20), (16, 20), (0.0,) * 3, (1.0,) * 3)
    model = own_model(
        Coloured(), preprocess=preprocess, frames=8, frame_rate=10, layer="body", labels=["red", "green", "blue"]
    )
    model = replace(model, spec=replace(model.spec, background=background))
    return Subject.of(Explainer(model, Recipe(method=method, stride=4, dtype="float32")))


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    return Sanity(_subject())(SAMPLE)


def test_the_other_class_is_the_runner_up_and_its_map_another(figures: dict[str, dict[str, float]]) -> None:
    subject = _subject()
    clip = predict(subject.fast, SAMPLE)
    assert clip.predicted == 0 and _runner_up(subject.exact.model, clip.window, 0) == 1
    red, green = (clip.window[..., k].astype(float) for k in (0, 1))
    for values in figures.values():
        assert values["other_class"] == pytest.approx(rank_correlation(red, green), abs=0.01)
        assert abs(values["other_class"]) < 0.2


def test_the_runner_up_is_the_background_only_where_there_is_no_other() -> None:
    assert _runner_up(_subject(background="green").exact.model, FRAMES[:8], 0) == 2
    assert _runner_up(_subject(background="blue").exact.model, FRAMES[:8], 0) == 1
    assert pixels(FRAMES[:8]).shape == (3, 8, 16, 20)
    model = _subject(background="green").exact.model
    two = replace(model, labels=("red", "green"), spec=replace(model.spec, probabilities=lambda s: s[:, :2].softmax(1)))
    assert _runner_up(two, FRAMES[:8], 0) == 1, "there is no other"
    one = replace(model, labels=("red",), spec=replace(model.spec, probabilities=lambda s: s[:, :1].softmax(1)))
    assert _runner_up(one, FRAMES[:8], 0) == 0


def test_the_maps_of_a_network_that_sees_single_frames_are_the_same_backward(
    figures: dict[str, dict[str, float]],
) -> None:
    for values in figures.values():
        assert values["reversed"] == pytest.approx(1, abs=1e-3)
        assert values["shuffled_evidence"] == pytest.approx(1, abs=0.02)
        assert values["frozen_evidence"] == pytest.approx(1, abs=0.1)
    turned = rank_correlation(FRAMES[..., 0].astype(float), FRAMES[::-1, ..., 0].astype(float))
    assert turned < 0.95, "maps that are not turned back must differ for this to test anything"


def test_flicker_noise_and_coding(figures: dict[str, dict[str, float]]) -> None:
    for values in figures.values():
        assert values["flicker_frozen"] < 1e-6 and values["flicker"] > 0.01
        assert 0.9 < values["noise"] < 1 and 0.3 < values["recoded"] < 1
    again = _recoded(FRAMES)
    assert again.shape == FRAMES.shape and 0 < np.abs(again.astype(int) - FRAMES).mean() < 40


def test_controls_are_those_of_the_changed_clip_by_their_definitions(figures: dict[str, dict[str, float]]) -> None:
    subject = _subject()
    clip = predict(subject.fast, SAMPLE)
    assert clip.start > 0, "it seeds the noise and the order"
    rng = np.random.default_rng(clip.start)
    noisy = np.clip(FRAMES + rng.normal(0, 5, FRAMES.shape), 0, 255).astype(np.uint8)
    order = rng.permutation(24)
    frozen = np.broadcast_to(clip.window[4], FRAMES.shape)

    def explained(frames: np.ndarray) -> dict[str, Explanation]:
        return {e.method: e for e in subject.fast.explain(replace(SAMPLE, frames=frames).source, 0)}

    plain, noised, shuffled, still = (explained(frames) for frames in (FRAMES, noisy, FRAMES[order], frozen))
    again = explained(_recoded(FRAMES))
    for name, values in figures.items():
        maps, most = plain[name].maps, plain[name].scores.max()
        expected = {
            "shuffled_evidence": shuffled[name].maps.sum() / maps.sum(),
            "shuffled_score": shuffled[name].scores.max() / most,
            "frozen_evidence": still[name].maps.sum() / maps.sum(),
            "frozen_score": still[name].scores.max() / most,
            "noise": rank_correlation(maps, noised[name].maps),
            "recoded": rank_correlation(maps, again[name].maps),
            "flicker": np.abs(np.diff(maps, axis=0)).mean() / maps.max(),  # maps are as fine as the pixels here
            "flicker_frozen": 0,
        }
        assert {key: values[key] for key in expected} == {k: pytest.approx(v, abs=1e-4) for k, v in expected.items()}


def test_the_changed_clips_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = FRAMES.copy()
    frames[:, :4, :4] = (255, 0, 0)  # noise ends at both ends of the range
    given: list[np.ndarray] = []
    plain = Subject.clip_explanations

    def recorded(self: Subject, sample: Sample, target: int, changed: np.ndarray) -> dict[str, Explanation]:
        given.append(changed)
        return plain(self, sample, target, changed)

    monkeypatch.setattr(Subject, "clip_explanations", recorded)
    Sanity(_subject())(replace(SAMPLE, frames=frames))
    clip = predict(_subject().fast, replace(SAMPLE, frames=frames))
    rng = np.random.default_rng(clip.start)
    noisy = np.clip(frames + rng.normal(0, 5, frames.shape), 0, 255).astype(np.uint8)
    expected = [frames, frames[::-1], frames[rng.permutation(24)], [clip.window[4]] * 24, noisy, _recoded(frames)]
    for found, wanted in zip(given, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_strong_compression_is_that_of_h264(tmp_path: Path) -> None:
    with FilmWriter(
        tmp_path / "film.mp4", (16, 20), time_base=Fraction(1, 25), frame_rate=Fraction(25), crf=35
    ) as film:
        for index, frame in enumerate(FRAMES):
            film.write(frame, index)
    np.testing.assert_array_equal(_recoded(FRAMES), [frame.pixels for frame in Clip(tmp_path / "film.mp4")])


def test_a_clip_without_evidence_has_none_under_any_change() -> None:
    subject = _subject("gradcam++")
    with torch.no_grad():
        subject.exact.model.network.fc.weight.copy_(-torch.eye(3))
    figures = Sanity(Subject.of(subject.exact))(SAMPLE)["gradcam++"]
    assert figures["shuffled_evidence"] == figures["frozen_evidence"] == figures["flicker"] == 0


def test_weights_are_drawn_anew_stage_by_stage(figures: dict[str, dict[str, float]]) -> None:
    subject = _subject()
    clip = predict(subject.fast, SAMPLE)
    original = subject.window_maps(clip.window, 0)
    for depth, (_, network) in enumerate(cascading_randomisation(subject.exact.model.network, seed=clip.start), 1):
        other = subject.exact.on(replace(subject.exact.model, network=network))
        for name, heat in subject.window_maps(clip.window, 0, other).items():
            expected = rank_correlation(original[name], heat)
            assert figures[name][f"randomised_{depth}"] == pytest.approx(expected, abs=1e-5)
    for values in figures.values():
        assert values["randomised_all"] == values["randomised_2"] and "randomised_3" not in values
        assert values["randomised_1"] != values["randomised_2"] < 0.999


@pytest.mark.slow
def test_sanity_of_one_clip(sample: Sample, model: Model) -> None:
    assert sample.mask is not None
    middle = int(np.flatnonzero(sample.mask.any((1, 2))).mean())
    subject = Subject.of(Explainer(model, Recipe(dtype="float32")))
    figures = Sanity(subject)(replace(sample, frames=sample.frames[middle - 12 : middle + 12]))
    for values in figures.values():
        assert values["randomised_all"] == values["randomised_5"] < 0.5
        assert values["noise"] > 0.7
        assert values["frozen_score"] < 0.5
    stages = ["fc", "layer3", "layer2", "layer1", "stem"]
    sanity_figure([{"clip": "a", "figures": figures}], stages).canvas.draw()
