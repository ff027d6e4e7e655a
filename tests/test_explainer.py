from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import vidcam
from tests.conftest import numbered, only, write_video
from tests.corpus.conftest import serving
from vidcam.cam.fusion import fuse
from vidcam.cam.input_methods import INPUT_METHODS
from vidcam.cam.layout import Layout
from vidcam.cam.methods import METHODS, gradcam_plus_plus
from vidcam.cam.scored import InputParams, ScoredWindows
from vidcam.engine.agreement import Agreement
from vidcam.errors import ClipError, LayerError, ModelError, SettingsError, TargetError
from vidcam.evaluation import inference
from vidcam.explainer import Explainer, explain, localize
from vidcam.export.page import write_report
from vidcam.fit import layers_of
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model
from vidcam.playground.clips import read_truth
from vidcam.playground.demo import demo_clip, demo_clips
from vidcam.recipe import Recipe, Settings
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import Explanation
from vidcam.temporal.curves import clip_probabilities
from vidcam.temporal.motion import Evidence
from vidcam.temporal.stitch import stitch
from vidcam.video.reader import Clip, Frame
from vidcam.video.source import ArraySource
from vidcam.video.windows import Windowing


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


@pytest.fixture
def small() -> Model:
    torch.manual_seed(3)
    base = load_model("playground-r2plus1d", "none")
    preprocess = Preprocess((20, 20), (16, 16), (0.5,) * 3, (0.1,) * 3)
    spec = replace(
        base.spec, name="small", preprocess=preprocess, frames=4, frame_rate=10, layer="body", background="b"
    )
    network = Small().eval()
    with torch.no_grad():
        network.fc.weight.mul_(8)
    return Model(network, spec, ("a", "b", "c", "d"), "none", dtype="float32")


class Deep(Small):
    """Two layers whose maps differ."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*self.body, nn.Conv3d(6, 6, 3, padding=1), nn.ReLU())


@pytest.fixture
def deep(small: Model) -> Model:
    network = Deep().eval()
    with torch.no_grad():
        network.fc.weight.mul_(8)
    return replace(small, network=network)


PLAIN: Settings = {"factor": "none", "context": False}
"""Windows of the clip alone, as they are."""


def _one_by_one(model: Model, path: Path, target: int, starts: list[int], windowing: Windowing) -> np.ndarray:
    """The stitched maps of a class by plain autograd, a window at a time."""
    frames = [model.spec.preprocess.frame(f.pixels) for f in Clip(path)]
    maps = []
    for start in starts:
        picked = frames[start : start + windowing.span : windowing.sampling_rate]
        picked += [frames[-1]] * (windowing.length - len(picked))
        activation = model.network.body(model.spec.preprocess.windows([picked])).detach().requires_grad_(True)
        score = model.network.fc(activation.mean((2, 3, 4)))[0, target]
        (gradient,) = torch.autograd.grad(score, activation)
        maps.append(gradcam_plus_plus(activation.detach(), gradient)[0].numpy())
    return stitch(np.stack(maps), starts, len(frames), windowing)


@pytest.mark.parametrize(("stride", "rate"), [(1, 1), (2, 1), (3, 2), (None, None)])
@pytest.mark.parametrize("target", ["top", "c", 0])
def test_against_a_window_at_a_time(
    small: Model, clip_path: Path, stride: int | None, rate: int | None, target: str | int
) -> None:
    found = vidcam.explain(clip_path, small, target, stride=stride, sampling_rate=rate, **PLAIN)
    assert found.frames == 24 and found.maps.shape == (24, 8, 8)
    windowing = Windowing(**found.windowing)
    assert found.target.index is not None
    expected = _one_by_one(small, clip_path, found.target.index, list(found.window_starts), windowing)
    np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.evidence, found.maps.mean((1, 2)), rtol=1e-5)


def test_a_class_that_comes_to_the_top_late_is_explained_from_the_start(small: Model, tmp_path: Path) -> None:
    path = _late(tmp_path)
    found = vidcam.explain(path, small, stride=2, **PLAIN)
    frames = [small.spec.preprocess.frame(f.pixels) for f in Clip(path)]
    first = small.network(small.spec.preprocess.windows([frames[:4]])).argmax().item()
    assert found.target.index != first, "the clip's class must differ from the first window's for this to test anything"
    assert found.target.index is not None
    expected = _one_by_one(small, path, found.target.index, list(found.window_starts), Windowing(**found.windowing))
    np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=1e-6)


def test_the_top_classes_are_those_of_the_pooled_windows(small: Model, clip_path: Path) -> None:
    each = Explainer(small).explain(clip_path, "top3")
    frames = [small.spec.preprocess.frame(f.pixels) for f in Clip(clip_path)]
    windows = small.spec.preprocess.windows([frames[s : s + 4] for s in each[0].window_starts])
    overall = clip_probabilities(small.network(windows).softmax(1).detach().numpy(), background=1)
    order = np.argsort(-overall)[:3]
    assert [e.target.index for e in each] == order.tolist()
    np.testing.assert_allclose([e.target.probability for e in each], overall[order], rtol=1e-4)


def test_a_function_of_the_output_is_a_target(small: Model, clip_path: Path) -> None:
    def contrast(output: Tensor) -> Tensor:
        return output[:, 0] - output[:, 2]

    found = vidcam.explain(clip_path, small, contrast)
    assert (found.target.index, found.target.label) == (None, "contrast")
    assert found.scores.min() < 0 or found.scores.max() > 0
    with pytest.raises(TargetError, match="must give one score each"):
        vidcam.explain(clip_path, small, lambda output: output)


def test_several_targets_methods_and_layers_in_one_reading_are_each_what_they_are_alone(
    deep: Model, clip_path: Path
) -> None:
    recipe = Recipe(layer="body.1,body", method="gradcam++,hirescam")
    together = Explainer(deep, recipe).explain(clip_path, ["c", "d"])
    assert [(e.target.label, e.method, e.layer) for e in together] == [
        (label, method, layer)
        for label in ("c", "d")
        for method in ("gradcam++", "hirescam")
        for layer in ("body.1,body", "body.1", "body")
    ]
    for found in together:
        alone = explain(clip_path, deep, found.target.label, layer=found.layer, method=found.method)
        np.testing.assert_allclose(found.maps, alone.maps, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.evidence, alone.evidence, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.window_scores, alone.window_scores, rtol=1e-4)
        assert found.target.probability == pytest.approx(alone.target.probability)
    for fused, first, second in zip(together[::3], together[1::3], together[2::3]):
        assert np.abs(first.maps - second.maps).max() > 1e-4
        np.testing.assert_allclose(fused.maps, fuse([first.maps, second.maps]), rtol=1e-5)
    largest = explain(clip_path, deep, "c", layer="body.1,body", fusion="max")
    np.testing.assert_allclose(largest.maps, fuse([e.maps for e in together[1:3]], "max"), rtol=1e-4, atol=1e-6)
    assert (largest.maps >= together[0].maps - 1e-6).all() and largest.maps.max() == pytest.approx(1)


def test_a_list_mixes_ranks_labels_contrasts_and_functions(small: Model, clip_path: Path) -> None:
    def doubled(output: Tensor) -> Tensor:
        return 2 * output[:, 3]

    explainer = Explainer(small)
    best = [e.target.label for e in explainer.explain(clip_path, "top2")]
    found = explainer.explain(clip_path, ["top2", "d", "a - c", doubled, "top", 3])
    assert [e.target.label for e in found] == list(dict.fromkeys([*best, "d", "a - c", "doubled"]))
    targets: list[Any] = [*dict.fromkeys([*best, "d"]), "a - c", doubled]
    for one, target in zip(found, targets, strict=True):
        alone = explain(clip_path, small, target)
        assert one.target == alone.target
        np.testing.assert_allclose(one.maps, alone.maps, rtol=1e-4, atol=1e-6)
    assert found[-1].target.value == pytest.approx(float(found[-1].window_scores.mean()))
    with pytest.raises(TargetError, match="no target is given"):
        explainer.explain(clip_path, [])


def test_scores_of_windows_are_the_probabilities_of_the_target(small: Model, clip_path: Path) -> None:
    frames = [small.spec.preprocess.frame(f.pixels) for f in Clip(clip_path)]
    for target in range(4):
        found = explain(clip_path, small, target, stride=2, context=False)
        windows = small.spec.preprocess.windows([frames[s : s + 4] for s in found.window_starts])
        expected = small.network(windows).softmax(1).detach().numpy()[:, target]
        np.testing.assert_allclose(found.window_scores, expected, rtol=1e-4)
        scores = stitch(expected[:, None].astype(np.float32), list(found.window_starts), 24, Windowing(4, 2))
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4)


@pytest.mark.parametrize("factor", ["probability", "exp"])
def test_each_window_has_its_factor(small: Model, clip_path: Path, factor: Any) -> None:
    plain, found = (explain(clip_path, small, "c", stride=4, context=False, factor=of) for of in ("none", factor))
    frames = [small.spec.preprocess.frame(f.pixels) for f in Clip(clip_path)]
    windows = small.spec.preprocess.windows([frames[s : s + 4] for s in found.window_starts])
    scores = small.network(windows).detach()
    factors = scores.softmax(1)[:, 2] if factor == "probability" else (scores[:, 2] - scores[:, 2].max()).exp()
    assert factors.max() > 1.2 * factors.min()
    for start, expected in zip(found.window_starts, factors):  # with a stride of a window no two overlap
        stretch = slice(start, start + 4)
        np.testing.assert_allclose(found.maps[stretch], plain.maps[stretch] * float(expected), rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-5)


def test_the_softmax_always_has_its_own_factor_and_a_function_none(small: Model, clip_path: Path) -> None:
    def doubled(output: Tensor) -> Tensor:
        return 2 * output[:, 3]

    plain, found = (
        Explainer(small, Recipe(method="gradcam++softmax,gradcam", factor=factor)).explain(clip_path, ["c", doubled])
        for factor in ("none", "probability")
    )
    np.testing.assert_allclose(found[0].maps, plain[0].maps, rtol=1e-5)
    assert np.abs(found[1].maps - plain[1].maps).max() > 0.1 * plain[1].maps.max()
    for one, other in zip(found[2:], plain[2:]):
        np.testing.assert_allclose(one.maps, other.maps, rtol=1e-5)
    assert [one.computation["factor"] for one in found] == ["probability", "probability", "none", "none"]


def test_context_is_reflected_frames_that_do_not_decide_on_classes(small: Model, clip_path: Path) -> None:
    whole, cut = (explain(clip_path, small, "c", stride=2, factor="none", context=on) for on in (True, False))
    frames = [small.spec.preprocess.frame(f.pixels) for f in Clip(clip_path)]
    reflected = np.stack([frames[i] for i in (2, 1, *range(24), 22, 21)])
    crops = replace(small, spec=replace(small.spec, preprocess=small.spec.preprocess.of_crops()))
    around = explain(ArraySource(reflected, 10), crops, "c", stride=2, factor="none", context=False)
    np.testing.assert_allclose(whole.maps[:22], around.maps[2:-4], rtol=1e-3, atol=1e-6)
    assert whole.top == cut.top and whole.target == cut.target
    np.testing.assert_array_equal(whole.window_starts, cut.window_starts)
    np.testing.assert_allclose(whole.window_scores, cut.window_scores, rtol=1e-5)
    np.testing.assert_allclose(whole.maps[4:-4], cut.maps[4:-4], rtol=1e-5)
    assert np.abs(whole.maps[0] - cut.maps[0]).max() > 1e-3
    assert whole.computation["context"] and not cut.computation["context"]


def test_a_class_at_a_time_is_explained_in_the_windows_that_hold_it(small: Model, clip_path: Path) -> None:
    found = explain(clip_path, small, "c @ 1.52", stride=2, **PLAIN)
    assert (found.target.index, found.target.label) == (2, "c @ 1.52 s")
    assert np.flatnonzero(found.maps.any((1, 2))).tolist() == list(range(12, 18))  # of windows 12 and 14
    whole = explain(clip_path, small, "c", stride=2, **PLAIN)
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-5)
    assert found.target.probability == pytest.approx(float(whole.scores[15]))
    with pytest.raises(TargetError, match=r"has no frame at 9 s; its frames are from 0\.00 to 2\.30 s"):
        explain(clip_path, small, "c @ 9 s", stride=2)
    with pytest.raises(TargetError, match="label 'z' is not one"):
        explain(clip_path, small, "z @ 1", stride=2)


def _late(folder: Path) -> Path:
    """A clip whose top class is that of its second part."""
    dark, light = [np.full((32, 32, 3), 20, np.uint8)] * 10, [np.full((32, 32, 3), 240, np.uint8)] * 30
    return write_video(folder / "late.mp4", dark + light)


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_clip_is_decoded_once_even_where_the_top_class_changes_late(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    path, model = _late(tmp_path), replace(small, dtype="")
    expected = [e.maps for e in Explainer(model, Recipe(stride=2, dtype="float32")).explain(path, "top3")]
    decoded = []
    iterated = Clip.__iter__

    def counting(clip: Clip) -> Iterator[Frame]:
        for frame in iterated(clip):
            decoded.append(frame.index)
            yield frame

    monkeypatch.setattr(Clip, "__iter__", counting)
    explainer = Explainer(model, Recipe(stride=2, dtype=dtype))
    found = explainer.explain(path, "top3")
    assert decoded == list(range(40))
    decoded.clear()
    (localized,) = explainer.localize(path, "top3")
    assert decoded == list(range(40))
    # Where the buffer is too small, the clip is read again, and nothing else changes.
    monkeypatch.setattr("vidcam.engine.frames.BUFFERED", 16 * 16 * 3 * 9)
    again, (localized_again,) = explainer.explain(path, "top3"), explainer.localize(path, "top3")
    assert len(decoded) > 2 * 40
    for one, other, plain in zip(found, again, expected, strict=True):
        np.testing.assert_allclose(one.maps, plain, atol=2e-2 * plain.max())
        np.testing.assert_allclose(other.maps, one.maps, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(localized_again.maps, localized.maps, rtol=1e-5, atol=1e-7)
    assert localized_again.labels == localized.labels


def test_a_loader_may_be_explained_several_times(small: Model, clip_path: Path) -> None:
    explainer = Explainer(small, Recipe(stride=3))
    opened = explainer.opened(clip_path)
    assert explainer.opened(opened) is opened
    for _ in range(2):
        (found,) = explainer.explain(opened, "c")
        np.testing.assert_array_equal(found.maps, explain(clip_path, small, "c", stride=3).maps)
    (localized,) = explainer.localize(opened, ["c"])
    np.testing.assert_allclose(localized.evidence[0], found.evidence, rtol=1e-4, atol=1e-6)


def test_an_explainer_whose_network_was_trained_since_puts_it_into_evaluation_mode(clip_path: Path) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.5))
    network = nn.Sequential(body, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    model = own_model(network, frames=8, preprocess=Preprocess(32, (32, 32), (0.4,) * 3, (0.2,) * 3))
    explainer = Explainer(model, Recipe(dtype="float32"))
    windows = torch.rand(1, 3, 8, 32, 32) * 255
    explainer.explain(clip_path, 1)
    with torch.no_grad():
        network[-1].bias[1] += 1
    network.train()
    statistics = body[1].running_mean.clone()
    explained, maps = explainer.explain(clip_path, 1)[0], explainer.maps(windows, 1)
    assert torch.equal(body[1].running_mean, statistics)
    again = Explainer(explainer.model, explainer.recipe)
    assert explained.target.probability == again.explain(clip_path, 1)[0].target.probability
    np.testing.assert_array_equal(explained.maps, again.explain(clip_path, 1)[0].maps)
    np.testing.assert_array_equal(only(maps), only(again.maps(windows, 1)))


@pytest.mark.slow
def test_one_optimized_copy_is_held_however_many_layers_are_explained(clip_path: Path) -> None:
    model = load_model("playground-c3d")
    names = list(layers_of(model))[-4:]
    for name in names:
        explain(clip_path, model, "waving", layer=name, dtype="float32", stride=8)
        assert [layers for layers, _ in model.cache] == [(name,)]
    assert len(names) == 4


@pytest.mark.parametrize("method", ["gradcam++", "hirescam"])
def test_maps_of_windows_in_memory_are_the_class_activation_maps(small: Model, deep: Model, method: str) -> None:
    pixels = torch.randint(0, 256, (3, 3, 4, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    given = small.spec.preprocess.normalized(pixels)

    def contrast(output: Tensor) -> Tensor:
        return output[:, 0] - output[:, 2]

    explainer = Explainer(small, Recipe(method=method))
    for target in (2, contrast):
        (found,) = explainer.maps(pixels, target).values()
        expected = vidcam.class_activation_map(small.network, given, layer="body", target=target, method=method)
        on_grid = torch.nn.functional.interpolate(torch.from_numpy(found)[:, None], (4, 16, 16), mode="trilinear")
        torch.testing.assert_close(on_grid[:, 0], expected, rtol=1e-4, atol=1e-6)
        assert found.shape == (3, 2, 8, 8) and found.max() > 0
    fused = Explainer(deep, Recipe(method=method, layer="body.1,body", fusion="max")).maps(pixels, 2)[method]
    parts = [Explainer(deep, Recipe(method=method, layer=name)).maps(pixels, 2)[method] for name in ("body.1", "body")]
    for window in range(3):
        np.testing.assert_allclose(fused[window], fuse([p[window] for p in parts], "max"), rtol=1e-4, atol=1e-6)


def test_progress_is_told_frame_by_frame(small: Model, clip_path: Path) -> None:
    for run in (explain, localize):
        told: list[tuple[int, int]] = []
        run(clip_path, small, progress=lambda done, of, told=told: told.append((done, of)))  # type: ignore[operator,misc]
        assert told == [(n, 24) for n in range(1, 25)]


def test_notes_of_the_source_and_of_the_model_are_warnings(small: Model, clip_path: Path) -> None:
    noted, frames = replace(small, note="random weights"), np.stack([f.pixels for f in Clip(clip_path)])
    for run in (explain, localize):
        assumed, note = run(frames, noted).warnings  # type: ignore[operator]
        assert "no frame rate was given; 10 frames a second are assumed" in assumed and note == "random weights"
        assert run(clip_path, small).warnings == ()  # type: ignore[operator]
    random_c3d = explain(clip_path, "playground-c3d", 0, weights="none")
    assert any("playground-c3d has random weights: its explanations mean nothing" in w for w in random_c3d.warnings)
    assert random_c3d.meaningless == "random weights: this means nothing"
    assert not explain(clip_path, small).meaningless


@pytest.mark.parametrize(("same_top", "said"), [(True, "the same top classes"), (False, "other top classes")])
def test_the_agreement_of_dense_is_a_warning_and_a_figure(
    small: Model, clip_path: Path, monkeypatch: pytest.MonkeyPatch, same_top: bool, said: str
) -> None:
    monkeypatch.setattr("vidcam.reading.dense_agreement", lambda *_: Agreement(0.4321, same_top))
    found = explain(clip_path, small, "c", dense=True)
    assert found.computation["dense_agreement"] == 0.4321
    assert f"maps correlate by 0.432 with those window by window, {said}" in found.warnings[-1]


def test_an_explainer_of_another_model_has_the_same_layers_and_recipe(small: Model, clip_path: Path) -> None:
    explainer = Explainer(small, Recipe(method="gradcam", stride=2))
    other = replace(small, network=Small().eval())
    changed = explainer.on(other)
    assert changed.layers == ("body",) and changed.model is other
    (found,) = changed.explain(clip_path, 1)
    np.testing.assert_array_equal(found.maps, explain(clip_path, other, 1, method="gradcam", stride=2).maps)
    assert np.abs(found.maps - explainer.explain(clip_path, 1)[0].maps).max() > 1e-3


def test_strides_by_default(small: Model, clip_path: Path) -> None:
    assert explain(clip_path, small).windowing == {"length": 4, "stride": 2, "sampling_rate": 1, "rate": 10}
    assert Explainer(small).windowing(40.0, overlap=4) == Windowing(4, 3, 4, 40)
    assert Explainer(small, Recipe(sampling_rate=3, stride=5)).windowing(40.0) == Windowing(4, 5, 3)


def test_every_method_explains_a_clip(small: Model, clip_path: Path) -> None:
    methods = [method for method in METHODS if method != "attnlrp"]  # which is for transformers
    together = Explainer(small, Recipe(method=",".join(methods), stride=4)).explain(clip_path, "c")
    assert [e.method for e in together] == methods
    for found in together:
        assert found.maps.shape == (24, 8, 8) and np.isfinite(found.maps).all() and found.maps.std() > 0


def test_every_method_at_the_input_explains_a_clip(small: Model, clip_path: Path) -> None:
    explainer = Explainer(small, Recipe(method=",".join(INPUT_METHODS), stride=4, stretches=4))
    together = explainer.explain(clip_path, "c")
    assert [e.method for e in together] == [*INPUT_METHODS] and {e.layer for e in together} == {"input"}
    grids = {"rise": (14, 14), "occlusion": (7, 7), "shapley": (1, 1), "extremal": (14, 14)}
    passes = {
        "rise": 300,
        "occlusion": 197,
        "shapley": 16,
        "integrated-gradients": 52,
        "smoothgrad": 50,
        "extremal": 100,
    }
    for found in together:
        assert found.maps.shape == (24, *grids.get(found.method, (16, 16))) and np.isfinite(found.maps).all()
        assert found.maps.std() > 0 and found.computation["dtype"] == "float32"
        assert found.computation["passes"] == passes[found.method]
        assert f"{found.method} ran the network {passes[found.method]} times for each window" in " ".join(
            found.warnings
        )
        exact = found.method in ("occlusion", "shapley")
        converged = found.computation["converged"]
        assert converged is None if exact else 0 < converged <= 1
    assert "the heat for c shows when, and not where: shapley is of stretches of time" in together[2].warnings
    (alone,) = Explainer(small, Recipe(method="rise", stride=4)).explain(clip_path, "c")
    np.testing.assert_allclose(alone.maps, together[0].maps, rtol=1e-4, atol=1e-6)


def test_convergence_is_that_of_the_windows_by_their_heat(small: Model, clip_path: Path) -> None:
    explainer = Explainer(small, Recipe(method="rise", passes=20, stride=4, context=False, factor="none"))
    (found,) = explainer.explain(clip_path, "c")
    frames = torch.from_numpy(np.stack([small.spec.preprocess.frame(f.pixels) for f in Clip(clip_path)])).float()
    values, weights = [], []
    for start in range(0, 24, 4):
        given = small.spec.preprocess.normalized(frames[None, start : start + 4].permute(0, 4, 1, 2, 3))
        scored = ScoredWindows(given, lambda w: small.network(w)[:, 2], InputParams(passes=20))
        one = INPUT_METHODS["rise"](scored)
        assert one.converged is not None
        values.append(float(one.converged))
        weights.append(float(one.heat.sum()))
    assert found.computation["converged"] == pytest.approx(np.average(values, weights=weights), rel=1e-3)
    assert "correlate by about" in found.warnings[0] and "give more passes (--passes)" in found.warnings[0]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"method": "rise", "layer": "body"},
            LayerError,
            "rise explains the network at its input, and layer body is given",
        ),
        ({"passes": 30}, SettingsError, r"passes 30 applies to none of the methods \(gradcam\+\+\)"),
        ({"absent": "grey"}, SettingsError, "absent grey applies to none of the methods"),
        ({"method": "smoothgrad", "absent": "grey"}, SettingsError, "absent grey applies to none of the methods"),
        ({"method": "rise", "stretches": 4}, SettingsError, "stretches 4 applies to none of the methods"),
        ({"method": "rise", "dtype": "bfloat16"}, SettingsError, "rise compares scores that differ little, in float32"),
        ({"method": "gradcam,rise", "layer": "body,body.0"}, LayerError, "explain them one after the other"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_a_method_at_the_input(
    small: Model, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Explainer(small, Recipe(**settings))


def test_a_missing_package_is_said_before_a_clip_is_read(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(SettingsError, match=r"pip install 'vidcam\[captum\]', or choose rise"):
        Explainer(small, Recipe(method="gradcam,occlusion"))
    assert Explainer(small, Recipe(method="shapley")).methods == ("shapley",)


def test_methods_at_a_layer_and_at_the_input_side_by_side(small: Model, clip_path: Path) -> None:
    recipe = Recipe(method="gradcam,occlusion", passes=17, evidence="motion,appearance", stride=4, absent="grey")
    found = Explainer(small, recipe).explain(clip_path, "c")
    assert [(e.method, e.layer, e.kind) for e in found] == [
        ("gradcam", "body", "motion"),
        ("gradcam", "body", "appearance"),
        ("occlusion", "input", "motion"),
        ("occlusion", "input", "appearance"),
    ]
    (whole,) = (explain(clip_path, small, "c", method="occlusion", passes=17, stride=4, absent="grey"),)
    np.testing.assert_allclose(found[2].maps + found[3].maps, whole.maps, rtol=1e-3, atol=1e-6)
    assert (
        Explainer(small, Recipe(method="gradcam,rise")).shortest_dtype(clip_path)
        == "float32"
        == found[0].computation["dtype"]
    )
    (localized,) = Explainer(small, Recipe(method="shapley", stretches=2)).localize(clip_path, ["c"])
    assert localized.layer == "input" and localized.maps.shape == (1, 24, 1, 1)
    pixels = torch.rand(2, 3, 4, 16, 16) * 255
    assert Explainer(small, Recipe(method="smoothgrad")).maps(pixels, 2)["smoothgrad"].shape == (2, 4, 16, 16)


@pytest.mark.parametrize("evidence", ["whole", "motion"])
def test_progress_of_methods_at_the_input_is_of_what_is_explained(
    small: Model, clip_path: Path, evidence: Evidence
) -> None:
    told: list[tuple[int, int]] = []
    passes = 0

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = small.network

        def forward(self, x: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            return self.whole(x)

    def progress(done: int, of: int) -> None:
        told.append((done, passes))
        assert of == 24

    counted = replace(small, network=Counting())
    explain(clip_path, counted, "c", method="rise", passes=50, stride=4, evidence=evidence, progress=progress)
    done, at = zip(*told)
    assert done[-1] == 24 and list(done) == sorted(set(done)) and len(done) > 10
    ideal = np.array(at) / at[-1] * 24
    assert np.abs(np.array(done) - ideal).max() <= 5


def test_a_heat_that_no_hidden_part_gives_is_said(small: Model) -> None:
    frames = np.full((8, 16, 16, 3), 90, np.uint8)
    for method, reason in (
        ("occlusion", "no part that is hidden lowers its score"),
        ("rise", "no part that is hidden"),
        ("extremal", "the tenth of the window that it shows does not raise its score"),
    ):
        found = explain(frames, small, "c", method=method, passes=20)
        assert found.maps.max() == 0 and f"the heat for c is empty: by {method}, {reason}" in found.warnings[0]
        by_chance = "does not depend on chance" not in " ".join(found.warnings)
        assert by_chance == (method != "occlusion") == (found.computation["converged"] is not None)


def test_a_block_as_large_as_the_picture_is_said(small: Model, clip_path: Path) -> None:
    found = explain(clip_path, small, "c", method="occlusion", passes=2, stride=4, absent="grey")
    assert found.maps.max() > 0
    assert found.warnings[0] == (
        "the heat for c is the same at every place of a frame and does not show where: occlusion hides whole frames; give "
        "more passes (--passes)"
    )


def test_why_one_class_and_not_another(small: Model, clip_path: Path) -> None:
    found = vidcam.explain(clip_path, small, "a - c", factor="none")
    by_function = vidcam.explain(clip_path, small, lambda output: output[:, 0] - output[:, 2])
    assert (found.target.index, found.target.label) == (None, "a - c")
    np.testing.assert_allclose(found.maps, by_function.maps)
    np.testing.assert_allclose(found.scores, by_function.scores)


@pytest.mark.slow
def test_an_image_classifier_sees_a_clip_frame_by_frame(clip_path: Path) -> None:
    found = vidcam.explain(clip_path, "resnet18", 3, weights="none", dtype="float32", factor="none")
    assert found.frames == 24 and len(found.window_starts) == 24
    model = load_model("resnet18", "none")
    frame = model.spec.preprocess.frame(list(Clip(clip_path))[7].pixels)
    window = model.spec.preprocess.windows([[frame]])
    alone = vidcam.class_activation_map(model.network, window, layer="layer4", target=3, pack=model.spec.pack)
    seen = torch.nn.functional.interpolate(torch.from_numpy(found.maps[7])[None, None], (224, 224), mode="bilinear")
    torch.testing.assert_close(seen[0], alone[0], rtol=1e-3, atol=1e-6)


def test_short_and_still_clips(small: Model, tmp_path: Path) -> None:
    found = vidcam.explain(write_video(tmp_path / "one.mp4", [numbered(5, 32, 32)]), small)
    assert found.frames == 1 and np.isfinite(found.heatmap(0)).all()
    assert "its 1 frame is fewer than one window of 4" in found.warnings[0]
    still = vidcam.explain(write_video(tmp_path / "still.mp4", [numbered(5, 32, 32)] * 12), small)
    assert all(np.isfinite(still.heatmap(t)).all() for t in range(12))


def test_wrong_settings(small: Model, clip_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no method 'magic'; choose one of"):
        vidcam.explain(clip_path, small, method="magic")
    with pytest.raises(LayerError, match=r"small has no layer 'conv9'; its space-time layers are body.0, body.1, body"):
        vidcam.explain(clip_path, small, layer="conv9")
    with pytest.raises(TargetError, match="is not one of the model's 4 classes"):
        vidcam.explain(clip_path, small, "zumba")
    with pytest.raises(SettingsError, match="would leave frames unexplained"):
        vidcam.explain(clip_path, small, stride=9)


class Crowded(Small):
    """A network on a device whose memory takes so many windows and no more."""

    takes: int

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.takes:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


@pytest.mark.parametrize("takes", [1, 2, 3])
def test_where_memory_ends_batches_are_halved(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: int
) -> None:
    path = write_video(tmp_path / "long.mp4", [numbered(i, 48, 64) for i in range(60)])
    expected = vidcam.explain(path, small, stride=4, dtype="float32")
    network = Crowded()
    network.load_state_dict(small.network.state_dict())
    network.takes, network.seen = takes, []
    crowded = replace(small, network=network.eval())
    monkeypatch.setattr("vidcam.engine.loader.windows_at_once", lambda model: 4)
    found = vidcam.explain(path, crowded, stride=4, dtype="float32")
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-5)
    assert sum(n > takes for n in network.seen) <= 2  # what was refused once is not tried again
    network.takes = 0
    with pytest.raises(ModelError, match="does not take a window"):
        vidcam.explain(path, crowded, stride=4)


def test_damaged_weights(small: Model, clip_path: Path) -> None:
    with torch.no_grad():
        small.network.fc.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        vidcam.explain(clip_path, small)


# Evidence during the action over evidence outside it, in every clip; heat on the actor over an even spread, on average.
# C3D's maps leave out exp(S), the only thing that tells its idle windows from the others: only its score says when.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "when", "where"), [("playground-r2plus1d", 1.5, 2.0), ("playground-c3d", 0.0, 1.3)])
def test_bundled_clips_are_recognised_where_and_when(name: str, when: float, where: float) -> None:
    model = load_model(name)
    named, inside, on_actor, chance = 0, [], [], []
    for path in demo_clips():
        truth = read_truth(path.with_suffix(".json"))
        found = vidcam.explain(path, model)
        (action,) = truth.actions
        named += found.target.label == truth.label
        start, end = action["start_frame"], action["end_frame"]
        inside.append(found.evidence[start:end].mean() / np.delete(found.evidence, np.s_[start:end]).mean())
        assert found.scores[start:end].mean() > 2 * np.delete(found.scores, np.s_[start:end]).mean()
        masks = truth.masks[action["figure"]]
        heat = np.stack([found.heatmap(t) for t in range(start, end)])
        on_actor.append(heat[masks[start:end]].sum() / heat.sum())
        chance.append(masks[start:end].mean())
    assert named == 6
    assert min(inside) > when
    assert np.mean(on_actor) > where * np.mean(chance)


@pytest.mark.slow
def test_a_stretch_is_explained_and_drawn_alone(small: Model, tmp_path: Path) -> None:
    frames = [numbered(i, 48, 64) for i in range(60)]
    path = write_video(tmp_path / "long.mp4", frames, audio="aac")
    explanation = vidcam.explain(Clip(path, start=2.0, end=5.05), small)
    np.testing.assert_allclose(explanation.times, np.arange(20, 51) / 10)
    alone = write_video(
        tmp_path / "alone.mkv", [f.pixels for f in Clip(path, start=2.0, end=5.05)], codec="ffv1", pixel_format="bgr0"
    )
    np.testing.assert_allclose(explanation.maps, vidcam.explain(alone, small).maps, atol=0.02 * explanation.peak)
    explanation.save(tmp_path / "out")
    assert vidcam.load_explanation(tmp_path / "out").opened().reopened().start == 2.0
    film = Clip(tmp_path / "out" / "overlay.mp4")
    np.testing.assert_allclose([f.time for f in film], np.arange(31) / 10)
    assert not film.has_audio


RATE = 16


def _sources(folder: Path, rate: int = RATE) -> dict[str, Any]:
    """The bundled clip as a file whose pixels are exact, and as everything else that frames come in."""
    frames = [frame.pixels for frame in Clip(demo_clip())]
    pictures = folder / "pictures"
    pictures.mkdir()
    for index, pixels in enumerate(frames):
        Image.fromarray(pixels).save(pictures / f"{index}.png")
    exact = write_video(folder / "exact.mkv", frames, codec="ffv1", pixel_format="bgra", time_base=Fraction(1, rate))
    return {
        "file": exact,
        "array": np.stack(frames),
        "tensor": torch.from_numpy(np.stack(frames)),
        "folder": pictures,
        "list": [pictures / f"{index}.png" for index in range(len(frames))],
        "iterator": iter(frames),
        "list of arrays": frames,
    }


@pytest.mark.slow
@pytest.mark.parametrize("target", ["top", "c"])
def test_every_source_gives_the_maps_of_the_file(small: Model, tmp_path: Path, target: str) -> None:
    rate = 2 * 10  # of the network: each instant shows a frame of its own, although Matroska counts milliseconds
    sources = _sources(tmp_path, rate)
    expected = explain(sources.pop("file"), small, target)
    assert expected.maps.max() > 0 and expected.warnings == ()
    for name, source in sources.items():
        found = explain(source, small, target, frame_rate=rate)
        _same(found, expected, name)
    with serving(tmp_path) as host:
        url = f"http://ann:pass@{host}/exact.mkv?token=secret"
        found = explain(url, small, target)
    _same(found, expected, "url")
    assert found.clip == f"http://{host}/exact.mkv?…"
    for source in (Clip(tmp_path / "exact.mkv"), ArraySource(sources["array"], rate)):
        _same(explain(source, small, target), expected, type(source).__name__)


def _same(found: Explanation, expected: Explanation, name: str) -> None:
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.times, expected.times, atol=5.1e-4)  # Matroska counts milliseconds
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(found.window_starts, expected.window_starts)
    assert found.target == expected.target and found.top == expected.top and found.warnings == ()


@pytest.mark.slow
def test_the_bundled_network_sees_an_array_as_the_file(tmp_path: Path) -> None:
    sources = _sources(tmp_path)
    expected, found = (
        explain(sources["file"], dtype="float32"),
        explain(sources["array"], dtype="float32", frame_rate=RATE),
    )
    _same(found, expected, "array")


@pytest.mark.slow
def test_films_and_reports_are_made_of_any_source_that_reopens(tmp_path: Path) -> None:
    sources = _sources(tmp_path)
    expected = list(Clip(explain(sources.pop("file"), frame_rate=None).save(tmp_path / "file").overlay))
    for name in ("array", "folder"):
        found = explain(sources[name])
        assert "no frame rate was given; 16 frames a second" in found.warnings[0]
        film = list(Clip(found.save(tmp_path / name).overlay))
        assert [f.time for f in film] == pytest.approx([f.time for f in expected], abs=1e-3)
        assert np.mean([np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in zip(film, expected)]) < 2
        write_report([found], tmp_path / name)
    once = explain(sources["iterator"])
    with pytest.raises(ClipError, match="can be read once only"):
        once.save(tmp_path / "once")
    assert not (tmp_path / "once" / "summary.json").exists()


@pytest.mark.slow
def test_frames_that_come_once_are_taken_once(tmp_path: Path) -> None:
    """Also where early windows have to be run again for a class that came to the top late."""
    frames = [frame.pixels for frame in Clip(demo_clip())]
    taken = []

    def coming() -> Iterator[np.ndarray]:
        for index, pixels in enumerate(frames):
            taken.append(index)
            yield pixels

    Explainer(recipe=Recipe(stride=2, frame_rate=16)).explain(coming(), "top5")
    assert taken == list(range(len(frames)))


@pytest.mark.slow
def test_limits_of_pixels_hold_when_a_clip_is_read_again(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", [numbered(i, 48, 64) for i in range(20)], codec="mpeg2video")
    large = write_video(tmp_path / "b.ts", [numbered(i, 480, 640) for i in range(20)], codec="mpeg2video")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    found = explain(Clip(both, max_pixels=48 * 64))
    assert found.frames <= 20 and found.opened().max_pixels == 48 * 64
    outputs = found.save(tmp_path / "out")
    assert len(list(Clip(outputs.overlay))) == found.frames
    write_report([found], tmp_path, embedded=0)
    assert len(list(Clip(tmp_path / "report.mp4"))) == found.frames


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("stride", [None, 1])
def test_windows_are_cut_by_time(small: Model, tmp_path: Path, stride: int | None, dense: bool) -> None:
    """A clip whose first part has four times as many frames is explained as the clip at a constant rate."""
    frames = [frame.pixels for frame in Clip(demo_clip())][:24]
    steady = write_video(tmp_path / "steady.mkv", frames, codec="ffv1", pixel_format="bgra")
    several = [frame for frame in frames[:12] for _ in range(4)] + frames[12:]
    pts = [*range(0, 4 * 12 * 25, 25), *range(1200, 2400, 100)]
    varying = write_video(
        tmp_path / "varying.mkv", several, codec="ffv1", pixel_format="bgra", pts=pts, time_base=Fraction(1, 1000)
    )
    settings: Settings = {"stride": stride, "dense": dense, "dtype": "float32"}
    expected, found = explain(steady, small, "c", **settings), explain(varying, small, "c", **settings)
    assert found.frames == 60 and found.target == expected.target and found.top == expected.top
    same = np.searchsorted(found.times, expected.times - 1e-6)
    np.testing.assert_allclose(found.times[same], expected.times)
    np.testing.assert_allclose(found.scores[same], expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.maps[same], expected.maps, atol=1e-6)
    np.testing.assert_allclose(found.window_scores, expected.window_scores, atol=1e-6)
    np.testing.assert_allclose(found.times[found.window_starts], expected.times[expected.window_starts])
    assert (found.frame_rate, found.frame_rate_from) == (pytest.approx(25, rel=0.05), "times")
    assert (expected.frame_rate, expected.frame_rate_from) == (10, "header")
    assert found.summary()["frame_rate"] == found.frame_rate and found.summary()["frame_rate_from"] == "times"
    local = localize(varying, small, ["c"], stride=stride, dense=dense, dtype="float32")
    np.testing.assert_allclose(local.scores[:, same], localize(steady, small, ["c"], **settings).scores, atol=1e-6)


@pytest.mark.slow
def test_clips_whose_rate_was_taken_wrongly(shared_cases: Path) -> None:
    varying = explain(shared_cases / "vfr_64_then_16.mp4", target="squatting")
    part = (varying.times >= 2.5) & (varying.times <= 5)
    assert varying.scores[part].mean() == pytest.approx(0.293, abs=0.02) and varying.warnings == ()
    recorded = explain(shared_cases / "chrome_recorded.webm")
    assert recorded.target.label == "squatting" and recorded.target.probability == pytest.approx(0.95, abs=0.05)
    assert recorded.frame_rate == pytest.approx(137 / 4.96, rel=0.01) and recorded.frame_rate_from == "times"
    joined = localize(shared_cases / "joined.ts")
    assert {s.label for s in joined.segments if s.score > 0.5} == {"waving", "squatting"}


@pytest.mark.slow
def test_rates_that_the_network_does_not_know_are_said(tmp_path: Path) -> None:
    frames = [numbered(i, 32, 32) for i in range(80)]
    steady = write_video(
        tmp_path / "steady.mkv", frames[:40], pts=[i * 62 for i in range(40)], time_base=Fraction(1, 1000)
    )
    assert _notes(steady) == []
    pts = [i * 16 for i in range(40)] + [640 + i * 62 for i in range(40)]
    varying = write_video(tmp_path / "varying.mkv", frames, pts=pts, time_base=Fraction(1, 1000))
    assert _notes(varying) == []  # windows are cut by time
    (warning,) = _notes(varying, sampling_rate=2)
    assert "its frame rate varies from 16.1 to 62.5 a second, and windows count frames" in warning
    slow = write_video(
        tmp_path / "slow.mkv", frames[:40], pts=[i * 166 for i in range(40)], time_base=Fraction(1, 1000)
    )
    (warning,) = _notes(slow)
    assert (
        "its frame rate is as low as 6.02 a second, and the network was trained at 16; frames are repeated" in warning
    )


def _notes(clip: Path, **settings: Any) -> list[str]:
    """The warnings of the bundled network, less that it knows rendered figures only."""
    return [warning for warning in explain(clip, **settings).warnings if "rendered figures" not in warning]


class Counted(nn.Module):
    """Batch normalisation and dropout, whose answers depend on the mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv3d(3, 4, 3, (1, 4, 4), 1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.5))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


@pytest.fixture
def counted() -> Model:
    preprocess = Preprocess((16, 16), (16, 16), (0.0,) * 3, (1.0,) * 3)
    return own_model(Counted(), preprocess=preprocess, frames=4, layer="body.2", labels=["a", "b", "top"])


FRAMES = np.random.default_rng(5).integers(0, 256, (12, 16, 16, 3), np.uint8)


def test_a_network_that_was_trained_since_is_explained_in_evaluation_mode(counted: Model) -> None:
    before = explain(FRAMES, counted, "b", frame_rate=16)
    statistics = counted.network.body[1].running_mean.clone()  # type: ignore[union-attr, index, operator]
    counted.network.train()
    again = explain(FRAMES, counted, "b", frame_rate=16)
    np.testing.assert_array_equal(again.maps, before.maps)
    assert torch.equal(counted.network.body[1].running_mean, statistics)  # type: ignore[union-attr, index, arg-type]


@pytest.mark.parametrize("how", ["data", "module", "in place"])
def test_what_changes_in_a_network_is_seen_whatever_way_it_changes(counted: Model, how: str) -> None:
    settings: Settings = {"frame_rate": 16.0, "dtype": "float32"}
    explain(FRAMES, counted, "b", **settings)
    body: Any = counted.network.body
    with torch.no_grad():
        match how:
            case "data":
                body[0].weight.data.mul_(-1.5)
            case "in place":
                body[0].weight.mul_(-1.5)
            case "module":
                body[2] = nn.Softplus()
    found = explain(FRAMES, counted, "b", **settings)
    fresh = explain(FRAMES, replace(counted), "b", **settings)
    np.testing.assert_allclose(found.maps, fresh.maps, rtol=1e-4, atol=1e-7)


def test_threads_may_share_an_explainer(counted: Model) -> None:
    explainer = Explainer(counted, Recipe(frame_rate=16, dtype="float32"))
    expected = explainer.explain(FRAMES, "b")[0].maps
    found: list[Any] = []

    def work() -> None:
        for _ in range(3):
            try:
                found.append(explainer.explain(FRAMES, "b")[0].maps)
            except Exception as error:
                found.append(error)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for maps in found:
        np.testing.assert_allclose(maps, expected, rtol=1e-5)


def test_what_is_assumed_of_a_bare_network_is_said(small: Model) -> None:
    (note,) = (w for w in explain(NOISE, small.network, 0).warnings if "nothing is known but the network" in w)
    assert "windows of 16 frames that follow each other, resized to 128, cropped to 112x112, with the mean 0.45" in note
    assert not any("nothing is known" in w for w in explain(NOISE, small, 0).warnings)


@pytest.mark.parametrize("weights", ["none", "mine.safetensors", Path("nowhere.pth")])
def test_weights_beside_a_network_that_has_its_own_are_refused(small: Model, weights: str | Path) -> None:
    for model in (small, small.network):
        with pytest.raises(SettingsError, match=f"weights {weights!s} are given with a network that is an object"):
            explain(NOISE, model, weights=weights)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "top2"}, "target top2"),
        ({"target": [0, 1]}, "2 targets"),
        ({"method": "gradcam++,layercam"}, "2 methods"),
        ({"evidence": "motion,appearance", "target": [0, 1]}, "2 targets, 2 kinds of evidence"),
    ],
)
def test_explain_refuses_what_would_give_several(small: Model, settings: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"^several results are asked for \({said}\), and only one"):
        explain(NOISE, small, **settings)


def test_a_result_says_how_the_frames_were_made(small: Model) -> None:
    preprocess = Preprocess((40, 50), (32, 48), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), bgr=True)
    model = replace(small, spec=replace(small.spec, preprocess=preprocess))
    for found in (explain(NOISE, model, 0), localize(NOISE, model, 0)):
        assert found.preprocess is not None and Preprocess(**found.preprocess) == preprocess


def test_localize_refuses_what_would_give_several(small: Model) -> None:
    with pytest.raises(SettingsError, match=r"^several results are asked for \(2 methods\), and only one"):
        localize(NOISE, small, method="gradcam++,layercam")
    with pytest.raises(LayerError, match=r"2 layers are given \(body.0, body.1\); localize by one"):
        localize(NOISE, small, layer="body.0,body.1")


def test_targets_that_are_none_are_refused(counted: Model) -> None:
    explainer = Explainer(counted, Recipe(frame_rate=16))
    assert explainer.explain(FRAMES, np.int64(1))[0].target.label == "b"
    assert explainer.localize(FRAMES, 1)[0].labels == ("b",)
    assert explainer.explain(FRAMES, "top")[0].target.label == "top"  # a label before a rank
    wrong: list[Any] = [None, 2.0, True, b"a", np.array([1, 2]), [[]]]
    for target in wrong:
        with pytest.raises(TargetError, match="give a label, a class index, or a function"):
            explainer.explain(FRAMES, target)
    with pytest.raises(TargetError, match="not finite"):
        explainer.explain(FRAMES, lambda output: output[:, 0] * torch.nan)
    nothing: Any = 3
    with pytest.raises(ModelError, match="3 is a int; give a name"):
        Explainer(nothing)


def test_probabilities_are_probabilities(counted: Model) -> None:
    wrong = replace(counted, spec=replace(counted.spec, probabilities=lambda scores: scores * 100))
    with pytest.raises(ModelError, match="give a function that returns probabilities between 0 and 1"):
        explain(FRAMES, wrong, "b", frame_rate=16)


def test_a_time_in_a_clip_of_variable_rate_is_in_the_clip(counted: Model, tmp_path: Path) -> None:
    times = [*range(0, 30), *range(30, 150, 10)]
    path = write_video(tmp_path / "v.mkv", [numbered(i, 32, 32) for i in range(len(times))], pts=times, codec="ffv1",
                       pixel_format="bgra", time_base=Fraction(1, 1000))  # fmt: skip
    for seconds in (0.0, 0.02, 0.035, 0.1, 0.14):
        found = explain(path, counted, f"b @ {seconds}", stride=1)
        assert found.maps.any() or found.target.probability > 0
    one = explain(FRAMES[:1], counted, "b @ 0", frame_rate=16)
    assert one.target.label == "b @ 0 s"


def test_a_list_of_videos_is_no_list_of_pictures(counted: Model, clip_path: Path) -> None:
    with pytest.raises(ClipError, match=r"clip\.mp4 is a video and not a picture; give pictures, or one video"):
        explain([clip_path, clip_path], counted)
    with pytest.raises(SettingsError, match="has a frame rate of its own"):
        explain(ArraySource(FRAMES, 5), counted, frame_rate=16)


class Means(nn.Module):
    """Scores that are the mean of each channel of `body`, times a matrix; then what `end` makes of them."""

    def __init__(self, weights: list[list[float]], end: Any = lambda scores: scores, bias: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, len(weights[0]), 1), nn.ReLU())
        self.pool = nn.AvgPool3d((1, 16, 16))
        self.fc = nn.Linear(len(weights[0]), len(weights))
        self.end = end
        with torch.no_grad():
            self.body[0].weight.fill_(1.0)
            self.body[0].bias.zero_()
            self.fc.weight.copy_(torch.tensor(weights))
            self.fc.bias.fill_(bias)

    def forward(self, x: Tensor) -> Any:
        return self.end(self.fc(self.pool(self.body(x)).mean((2, 3, 4))))


def _means(*args: Any, **settings: Any) -> Model:
    preprocess = Preprocess((16, 16), (16, 16), (0.0,) * 3, (1.0,) * 3)
    return own_model(Means(*args), frames=4, frame_rate=8, preprocess=preprocess, labels=["a", "b"], **settings)


NOISE = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    ("method", "advice"),
    [
        (
            "gradcam++",
            r"by gradcam\+\+ no active channel of layer body speaks for it; try gradcam, or explain a contrast",
        ),
        (
            "gradcam",
            "by gradcam no active channel of layer body speaks for it; explain a contrast, such as 'a - another'",
        ),
    ],
)
def test_an_empty_map_has_its_reason(tmp_path: Path, method: str, advice: str) -> None:
    model = _means([[-1.0, -2.0], [-3.0, -2.0]])
    found = explain(NOISE, model, "a", method=method, frame_rate=8, dtype="float32", layer="body")
    assert not found.maps.any()
    (note,) = found.warnings
    assert re.search(f"the heat for a is empty: {advice}", note), note
    page = write_report([found], tmp_path).read_text(encoding="utf-8")
    assert page.index(html.escape(note, quote=False).split(":")[0]) < page.index('class="stage"')
    assert "trongest" not in re.sub("<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    located = localize(NOISE, model, ["a"], method=method, frame_rate=8, dtype="float32", layer="body")
    assert note in located.warnings
    contrast = explain(NOISE, model, "a - b", method=method, frame_rate=8, dtype="float32", layer="body")
    assert contrast.maps.any() and contrast.warnings == ()


def test_a_score_without_a_gradient_is_said() -> None:
    certain = _means([[9.0, 9.0], [-9.0, -9.0]], lambda scores: (40 * scores).softmax(1), probabilities="given")
    found = explain(NOISE, certain, "a", frame_rate=8, dtype="float32", layer="body")
    assert found.target.probability == pytest.approx(1) and not found.maps.any()
    assert "the heat for a is empty: the gradient of its score is 0 everywhere at layer body" in found.warnings[0]


def test_heat_that_is_the_same_everywhere_is_said() -> None:
    found = explain(NOISE, _means([[1.0, 2.0], [-1.0, 0.0]]), "a", frame_rate=8, dtype="float32", layer="pool")
    assert found.maps.any()
    (note,) = found.warnings
    assert (
        "the heat for a is the same at every place of a frame" in note and "layer pool has 1 position in space" in note
    )
    several = explain(NOISE, _means([[1.0, 2.0], [-1.0, 0.0]]), "a", frame_rate=8, dtype="float32", layer="body,pool")
    assert note in several.warnings


def test_a_probability_of_0_is_the_reason_of_an_empty_map() -> None:
    model = _means([[1.0, 1.0], [900.0, 900.0]])
    settings: Any = {"frame_rate": 8, "dtype": "float32", "layer": "body"}
    assert (
        "its probability, which each map is multiplied by, is 0" in explain(NOISE, model, "a", **settings).warnings[0]
    )
    assert explain(NOISE, model, "a", factor="none", **settings).warnings == ()


def test_a_softmax_of_a_softmax_is_said() -> None:
    """A specification of a package is not asked about when it is made."""
    spec = replace(_means([[1.0, 2.0], [-1.0, 0.0]]).spec, name="theirs")
    network = Means([[1.0, 2.0], [-1.0, 0.0]], lambda scores: scores.softmax(1))
    settings: Any = {"frame_rate": 8, "dtype": "float32", "layer": "body"}
    (note,) = explain(NOISE, Model(network.eval(), spec, ("a", "b"), "none"), "a", **settings).warnings
    assert note.startswith(
        "theirs gives numbers that sum to 1 in every window: probabilities, of which another softmax"
    )
    assert (
        explain(NOISE, Model(Means([[1.0, 2.0], [-1.0, 0.0]]), spec, ("a", "b"), "none"), "a", **settings).warnings
        == ()
    )


def _frozen_clips(model: Model, path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The frames of a clip, and for windows of four, end to end, those with their third frame in place of all."""
    frames = [model.spec.preprocess.frame(f.pixels) for f in Clip(path)]
    return frames, [frames[i // 4 * 4 + 2] for i in range(len(frames))]


@pytest.mark.parametrize("factor", ["probability", "none"])
def test_motion_and_appearance_are_split_in_each_window_before_its_factor(
    small: Model, clip_path: Path, factor: Any
) -> None:
    starts, windowing = list(range(0, 24, 4)), Windowing(4, 4)
    whole, frozen = (
        Explainer(small).maps(torch.stack([inference.pixels(np.stack(of[s : s + 4])) for s in starts]), 2)["gradcam++"]
        for of in _frozen_clips(small, clip_path)
    )
    both = Recipe(evidence="motion,appearance", stride=4, context=False, factor=factor)
    motion, appearance = Explainer(small, both).explain(clip_path, "c")
    assert [e.kind for e in (motion, appearance)] == ["motion", "appearance"]
    factors = motion.window_scores[:, None, None, None] if factor == "probability" else 1.0
    for found, part in ((motion, np.maximum(whole - frozen, 0)), (appearance, np.minimum(whole, frozen))):
        np.testing.assert_allclose(found.maps, stitch(part * factors, starts, 24, windowing), rtol=1e-3, atol=1e-5)
    assert motion.maps.any() and appearance.maps.any()
    plain = explain(clip_path, small, "c", stride=4, context=False, factor=factor)
    np.testing.assert_allclose(motion.maps + appearance.maps, plain.maps, rtol=1e-4, atol=1e-6)
    for one in (motion, appearance):
        assert one.peak == plain.peak and one.highest == pytest.approx(plain.highest)
        np.testing.assert_allclose(one.evidence, one.maps.mean((1, 2)), rtol=1e-5)
        np.testing.assert_allclose(one.scores, plain.scores, rtol=1e-5)
    assert (plain.kind, plain.motion, plain.scale) == ("whole", None, None)


def test_the_motion_share_is_that_of_the_windows_and_the_frozen_windows(small: Model, clip_path: Path) -> None:
    frames, still = _frozen_clips(small, clip_path)
    of_frames, of_still = (
        small.network(small.spec.preprocess.windows([of[s : s + 4] for s in range(0, 24, 4)]))
        .softmax(1)
        .detach()
        .numpy()
        for of in (frames, still)
    )
    best = int(of_frames.mean(0).argmax())
    (found,) = Explainer(small, Recipe(evidence="motion", stride=4, context=False)).explain(clip_path, best)
    assert found.motion is not None
    above, bits = np.log2(4 * of_frames[:, best]), np.log2(of_frames[:, best] / of_still[:, best])
    counts = above >= 0.5
    assert counts.any()
    assert found.motion.unclamped == pytest.approx(bits[counts].sum() / above[counts].sum(), rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(found.motion.windows, np.where(counts, np.clip(bits / above, 0, 1), np.nan), atol=1e-4)
    became = [small.labels[k] for k, count in zip(of_still.argmax(1), counts) if count]
    assert dict(found.motion.frozen) == {label: became.count(label) for label in became}
    assert found.warnings[0].startswith(f"motion share of {small.labels[best]}: {found.motion.written()}")
    assert found.title.startswith(f"{small.labels[best]}, motion (motion share ")


def test_a_still_clip_has_no_motion(small: Model, tmp_path: Path) -> None:
    still = ArraySource(np.repeat(numbered(5, 32, 32)[None], 12, 0), 10)
    (found,) = Explainer(small, Recipe(evidence="motion")).explain(still)
    assert not found.maps.any() and found.peak == 0 and found.motion is not None
    assert found.motion.share in (0, None)
    assert any(note.endswith("is motion") and note.startswith("none of the heat") for note in found.warnings)


def test_motion_at_a_time_and_of_late_classes(small: Model, clip_path: Path, tmp_path: Path) -> None:
    (timed,) = Explainer(small, Recipe(evidence="appearance", stride=2, **PLAIN)).explain(clip_path, "c @ 1.52")
    assert set(np.flatnonzero(timed.maps.any((1, 2)))) <= set(range(12, 18)) and timed.maps.any()
    late = explain(_late(tmp_path), small, evidence="motion", stride=2)
    assert late.motion is not None and len(late.motion.windows) == len(late.window_starts)


def test_maps_of_windows_in_memory_are_split(small: Model) -> None:
    windows = torch.randint(0, 256, (2, 3, 4, 16, 16), generator=torch.Generator().manual_seed(1)).float()
    still = windows[:, :, 2:3].expand_as(windows).contiguous()
    whole, frozen = (Explainer(small).maps(of, 1)["gradcam++"] for of in (windows, still))
    motion = Explainer(small, Recipe(evidence="motion")).maps(windows, 1)["gradcam++"]
    np.testing.assert_allclose(motion, np.maximum(whole - frozen, 0), rtol=1e-4, atol=1e-6)
    with pytest.raises(SettingsError, match="several kinds of evidence; give one"):
        Explainer(small, Recipe(evidence="motion,whole")).maps(windows, 1)


def test_what_motion_cannot_be_had_with(small: Model, deep: Model, clip_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs windows that can be frozen; leave dense out"):
        Explainer(small, Recipe(evidence="motion", dense=True))
    with pytest.raises(LayerError, match=r"is of one layer, and body\.1, body\.3 are given"):
        Explainer(deep, Recipe(evidence="motion", layer="body.1,body.3"))
    with pytest.raises(SettingsError, match="segments are cut from the whole evidence: leave it out"):
        Explainer(small, Recipe(evidence="motion")).localize(clip_path)
    with pytest.raises(SettingsError, match="there is no evidence 'sound'; choose one of whole, motion, appearance"):
        explain(clip_path, small, evidence="motion,sound")


def test_the_settings_of_pictures_are_those_of_the_explanation_and_not_of_a_localization(
    small: Model, clip_path: Path
) -> None:
    found = explain(clip_path, small, colormap="magma", opacity=0.5, style="heat", format="gif,png", film_width=320)
    assert found.drawing == Drawing("magma", 0.5, style="heat", format="gif,png", film_width=320)
    with pytest.raises(SettingsError, match="a localization is not drawn on its clip"):
        Explainer(small, Recipe(colormap="magma")).localize(clip_path)


def test_long_spans_are_refused_where_frames_are_rows_of_the_batch(small: Model) -> None:
    model = replace(small, spec=replace(small.spec, layout=Layout("(n t) c h w")))
    with pytest.raises(SettingsError, match="takes the frames of one window as rows of its batch; leave dense out"):
        Explainer(model, Recipe(dense=True))


def test_the_default_method_is_that_of_the_network(small: Model) -> None:
    assert Explainer(small).methods == ("gradcam++",)
    model = replace(small, spec=replace(small.spec, method="hirescam"))
    assert Explainer(model).methods == ("hirescam",)
    assert Explainer(model, Recipe(method="gradcam, auto")).methods == ("gradcam", "hirescam")


class _Trained(nn.Module):
    """A network whose answers while it is trained are random, and change its running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 6, 3, stride=2, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.Dropout())
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


@pytest.mark.parametrize("dtype", ["auto", "float32"])
@pytest.mark.parametrize("call", ["explain", "localize", "maps", "shortest_dtype", "live"])
def test_a_network_in_training_answers_as_in_evaluation_mode_and_goes_on_training(call: str, dtype: Any) -> None:
    torch.manual_seed(0)
    network = _Trained()
    model = own_model(network, frames=8, preprocess=Preprocess(32, (32, 32), (0.5,) * 3, (0.2,) * 3))
    explainer = Explainer(model, Recipe(method="gradcam", dtype=dtype))
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)

    def answer() -> np.ndarray:
        match call:
            case "explain":
                return explainer.explain(frames, 1)[0].maps
            case "localize":
                return explainer.localize(frames, "1")[0].scores
            case "maps":
                return explainer.maps(torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float(), 1)["gradcam"]
            case "live":
                with explainer.live(frames, note=lambda text: None) as live:
                    return np.array([step.scores for step in live])
        return np.array(explainer.shortest_dtype(frames) == "float32")

    expected = answer()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.float16):
        found = answer()
    assert np.array_equal(found, expected)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
