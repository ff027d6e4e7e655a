from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.cam.targets import Contrast, InTime, ScoreFunction
from vidcam.engine.attribution import Attributor, _steps_at
from vidcam.engine.loader import Batch
from vidcam.errors import ModelError, TargetError
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(
            nn.Conv3d(3, 6, 3, (1, 2, 2), 1), nn.ReLU(), nn.Conv3d(6, 5, 3, (1, 2, 2), 1), nn.ReLU()
        )
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


WINDOWS = torch.randn(3, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> Model:
    preprocess = Preprocess((16, 16), (16, 16), (0.0,) * 3, (1.0,) * 3)
    return own_model(Small(), preprocess=preprocess, frames=4, layer="body")


def _alone(model: Model, window: int, target: int | ScoreFunction, layer: str, method: str) -> Tensor:
    """The map of one window by itself, on its grid."""
    given = WINDOWS[window : window + 1]
    return class_activation_map(model.network, given, layer=layer, target=target, method=method)[0]


def _on_the_grid(heat: np.ndarray) -> Tensor:
    volume = torch.from_numpy(heat.copy())[None, None]
    return nn.functional.interpolate(volume, size=WINDOWS.shape[2:], mode="trilinear", align_corners=False)[0, 0]


@pytest.mark.parametrize("methods", [["gradcam++"], ["gradcam", "hirescam", "gradcam++"]])
def test_each_window_target_layer_and_method_is_what_it_is_alone(model: Model, methods: list[str]) -> None:
    def difference(output: Tensor) -> Tensor:
        return output[:, 0] - 2 * output[:, 3]

    layers = ["body.1", "body"]
    chosen = [[0, difference], [2], [1, 3, difference]]
    found = Attributor(model, layers, methods).maps(Batch([0, 2, 4], WINDOWS), lambda p: chosen)
    probabilities, maps = found.probabilities, found.maps
    with torch.no_grad():
        output = model.network(WINDOWS)
    np.testing.assert_allclose(probabilities, output.softmax(1), rtol=1e-5)
    for i, keys in enumerate(chosen):
        assert set(keys) <= set(maps[i])
        for key in keys:
            score = probabilities[i, key] if isinstance(key, int) else difference(output)[i].item()
            assert maps[i][key].curve.tolist() == [pytest.approx(float(score), rel=1e-5)]
            assert (maps[i][key].probability is None) == (key is difference)
            raw = output[i, key].item() if isinstance(key, int) else float(score)
            assert maps[i][key].raw == pytest.approx(raw, rel=1e-5)
            assert set(maps[i][key].heat) == {(m, layer) for layer in layers for m in methods}
            for (method, layer), heat in maps[i][key].heat.items():
                expected = _alone(model, i, key, layer, method)
                torch.testing.assert_close(_on_the_grid(heat), expected, rtol=1e-3, atol=1e-6)


def test_targets_are_chosen_by_the_probabilities(model: Model) -> None:
    seen = []

    def best(probabilities: np.ndarray) -> list[list[int]]:
        seen.append(probabilities)
        return [[int(k)] for k in probabilities.argmin(1)]

    explained = Attributor(model, ["body"], ["gradcam++", "scorecam"]).maps(Batch([0, 2, 4], WINDOWS), best)
    probabilities, maps = explained.probabilities, explained.maps
    np.testing.assert_array_equal(seen[0], probabilities)
    assert [list(m) for m in maps] == [[int(k)] for k in probabilities.argmin(1)]


def test_scores_that_are_not_finite_are_refused(model: Model) -> None:
    with torch.no_grad():
        model.network.fc.bias[2] = float("inf")
    with pytest.raises(ModelError, match="Small gives scores that are not finite; its weights"):
        Attributor(model, ["body"], ["gradcam++"]).maps(Batch([0, 2, 4], WINDOWS), lambda p: [[0]] * 3)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0.0, 1.0], ""),
        ([-5e-5, 1 + 5e-5], ""),  # rounding
        ([-1e-3, 0.5], "from -0.001 to 0.5"),
        ([0.5, 1.001], "from 0.5 to 1.001"),
        ([0.5, 1.9], "from 0.5 to 1.9"),
        ([-0.9, 0.5], "from -0.9 to 0.5"),
        ([0.25, float("nan")], "from nan to nan"),
    ],
)
def test_probabilities_lie_between_0_and_1(model: Model, found: list[float], message: str) -> None:
    given = torch.tensor([*found, 0.5, 0.5])
    other = replace(model, spec=replace(model.spec, probabilities=lambda scores: given.expand(len(scores), 4)))
    attributor = Attributor(other, ["body"], ["gradcam++"])
    if message:
        with pytest.raises(ModelError, match=f"Small has probabilities {message}"):
            attributor.maps(Batch([0, 2, 4], WINDOWS), lambda p: [[0]] * 3)
    else:
        maps = attributor.maps(Batch([0, 2, 4], WINDOWS), lambda p: [[1]] * 3)
        np.testing.assert_allclose(maps.probabilities, np.tile(given.numpy(), (3, 1)))


def test_a_batch_that_does_not_fit_is_halved_and_a_span_is_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Attributor(model, ["body"], ["gradcam++"])
    expected = whole.maps(Batch([0, 2, 4], WINDOWS), lambda p: [[1]] * len(p))
    taken = []
    network = model.network

    def limited(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        taken.append(len(given[0]))
        if len(given[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = network.body[0].register_forward_pre_hook(limited)
    attributor = Attributor(model, ["body"], ["gradcam++"])
    for _ in range(2):
        halved = attributor.maps(Batch([0, 2, 4], WINDOWS), lambda p: [[1]] * len(p))
        np.testing.assert_allclose(halved.probabilities, expected.probabilities, rtol=1e-5)
        np.testing.assert_allclose(halved.curves, expected.curves, rtol=1e-5)
        for found, known in zip(halved.maps, expected.maps, strict=True):
            np.testing.assert_allclose(
                found[1].heat["gradcam++", "body"], known[1].heat["gradcam++", "body"], atol=1e-6
            )
    assert attributor.max_batch == 1 and taken.count(3) == 1 and max(taken[1:]) <= 2
    hook.remove()

    def nothing(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    network.body[0].register_forward_pre_hook(nothing)
    with pytest.raises(ModelError, match="does not take a window; free some of it"):
        attributor.maps(Batch([0], WINDOWS[:1]), lambda p: [[1]])
    with pytest.raises(ModelError, match="does not take a span of windows; leave out dense"):
        attributor.maps(Batch([0, 2], WINDOWS[:1], lambda t: t), lambda p: [[1]] * 2)


class Framed(nn.Module):
    """Scores of two classes at each of four steps: the mean over space of two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ReLU()

    def forward(self, windows: Tensor) -> Tensor:
        return self.layer(windows[:, :2]).mean((3, 4))  # (N, C, T)


@pytest.fixture
def framed() -> Model:
    preprocess = Preprocess((2, 2), (2, 2), (0.0,) * 3, (1.0,) * 3, scale=1.0)
    return own_model(
        Framed(),
        preprocess=preprocess,
        frames=4,
        layer="layer",
        labels=["a", "b"],
        scores="n c t",
        probabilities="sigmoid",
    )


def test_a_class_at_a_time_is_explained_at_its_step_where_the_window_holds_it(framed: Model) -> None:
    windows = torch.rand(3, 3, 4, 2, 2)
    times = np.array([[0, 1, 2, 3], [2, 3, 4, 5], [np.nan, np.nan, 0, 1]]) / 10
    key = InTime(1, 0.31, "b @ 0.31 s")
    found = Attributor(framed, ["layer"], ["hirescam"]).maps(
        Batch([0, 2, -2], windows, times=times), lambda p: [[key]] * len(p)
    )
    first, second, third = (maps[key] for maps in found.maps)
    heat = first.heat["hirescam", "layer"]
    assert np.flatnonzero(heat.sum((1, 2))).tolist() == [3]
    assert np.flatnonzero(second.heat["hirescam", "layer"].sum((1, 2))).tolist() == [1]
    assert not third.heat["hirescam", "layer"].any() and third.raw == -np.inf and third.probability == 0
    expected = torch.sigmoid(windows[0, 1].mean((1, 2)))
    np.testing.assert_allclose(first.curve, expected, rtol=1e-5)
    assert first.raw == pytest.approx(windows[0, 1, 3].mean().item(), rel=1e-5)
    np.testing.assert_allclose(heat[3], windows[0, 1, 3] / 4, rtol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "step", "inside"),
    [
        (0.74, [0, 0, 1], [False, False, False]),
        (0.76, [0, 0, 1], [False, False, True]),
        (0.89, [0, 0, 1], [False, False, True]),
        (0.91, [0, 0, 1], [True, True, True]),
        (1.24, [0, 1, 1], [True, True, True]),
        (1.26, [0, 1, 1], [True, True, False]),
        (1.79, [1, 1, 1], [True, True, False]),
        (1.81, [1, 1, 1], [True, False, False]),
        (2.19, [1, 1, 1], [True, False, False]),
        (2.21, [1, 1, 1], [False, False, False]),
    ],
)
def test_a_frame_lasts_half_a_step_to_both_sides(seconds: float, step: list[int], inside: list[bool]) -> None:
    """Windows of four frames with a score for every two of them; a time is missing where a frame is mirrored."""
    nan = float("nan")
    times = np.array([[1.0, 1.2, 1.6, 2.0], [nan, 1.0, 1.2, 1.6], [nan, nan, nan, 1.0]])
    batch = Batch([0, -1, -3], torch.zeros(3), times=times, step=0.5)
    found_step, found_inside = _steps_at(seconds, batch, 2)
    assert (found_step.tolist(), found_inside.tolist()) == (step, inside)


def test_a_window_without_any_frame_of_the_clip_holds_no_time() -> None:
    batch = Batch([40], torch.zeros(1), times=np.full((1, 4), np.nan), step=0.5)
    assert not _steps_at(0.0, batch, 2)[1].any()


def test_scores_of_frames_are_one_of_the_window_by_logsumexp(framed: Model) -> None:
    windows = torch.rand(2, 3, 4, 2, 2)
    found = Attributor(framed, ["layer"], ["hirescam"]).maps(Batch([0, 1], windows), lambda p: [[0]] * len(p))
    scores = windows[:, 0].mean((2, 3))
    np.testing.assert_allclose(found.probabilities[:, 0], scores.sigmoid().amax(1), rtol=1e-5)
    np.testing.assert_allclose(found.curves[:, :, 0], scores.sigmoid(), rtol=1e-5)
    weights = scores.softmax(1)[:, :, None, None] / 4
    heats = np.stack([maps[0].heat["hirescam", "layer"] for maps in found.maps])
    np.testing.assert_allclose(heats, windows[:, 0] * weights, rtol=1e-5)


def test_windows_without_times_have_no_class_at_a_time(framed: Model) -> None:
    with pytest.raises(TargetError, match="have no times"):
        Attributor(framed, ["layer"], ["hirescam"]).maps(
            Batch([0], torch.rand(1, 3, 4, 2, 2)), lambda p: [[InTime(0, 1.0, "a")]]
        )


def test_a_contrast_has_the_probability_of_the_class_that_it_speaks_for(framed: Model) -> None:
    contrast = Contrast(1, 0, "b - a", framed.spec.class_scores)
    windows = torch.rand(2, 3, 4, 2, 2)
    found = Attributor(framed, ["layer"], ["gradcam"]).maps(Batch([0, 1], windows), lambda p: [[contrast, 0]] * len(p))
    for i, maps in enumerate(found.maps):
        assert maps[contrast].probability == pytest.approx(found.probabilities[i, 1])
        assert maps[0].probability == pytest.approx(found.probabilities[i, 0])
        scores = windows[i, :2].mean((2, 3)).logsumexp(1)
        assert maps[contrast].raw == pytest.approx((scores[1] - scores[0]).item(), abs=1e-5)


def test_an_output_without_class_scores_has_maps_of_functions_and_no_class(model: Model) -> None:
    def first(output: Tensor) -> Tensor:
        return output[:, 0]

    other = replace(model, spec=replace(model.spec, unrecognised="it holds no class scores"))
    found = Attributor(other, ["body"], ["gradcam"]).maps(Batch([0, 2, 4], WINDOWS), lambda p: [[first]] * len(p))
    assert found.probabilities.shape == (3, 0) and found.curves.shape == (3, 1, 0)
    for window, maps in enumerate(found.maps):
        one, expected = maps[first], model.network(WINDOWS)[window, 0].item()
        assert (one.top, one.probability) == (None, None) and one.raw == pytest.approx(expected, rel=1e-5)
        assert one.curve.tolist() == pytest.approx([expected], rel=1e-5) and one.heat["gradcam", "body"].any()


def test_values_of_frames_are_one_of_the_window_by_their_mean(framed: Model) -> None:
    values, windows = replace(framed, spec=replace(framed.spec, probabilities=None)), torch.rand(2, 3, 4, 2, 2)
    found = Attributor(values, ["layer"], ["gradcam"]).maps(Batch([0, 1], windows), lambda p: [[0]] * len(p))
    assert found.curves.shape[1] == 4 and np.ptp(found.curves, axis=1).min() > 0
    np.testing.assert_allclose(found.probabilities, sum(found.curves[:, t] for t in range(4)) / 4, rtol=1e-6)
    assert all(maps[0].top is None and maps[0].probability is None for maps in found.maps)


def test_scores_that_are_what_a_softmax_gives_are_noticed(model: Model, framed: Model) -> None:
    class Softmaxed(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).softmax(1)

    for given, expected in ((model, False), (replace(model, network=Softmaxed().eval()), True)):
        attributor = Attributor(given, ["body"], ["gradcam"])
        attributor.maps(Batch([0, 2, 4], WINDOWS), lambda p: [[0]] * len(p))
        assert attributor.softmaxed is expected
    attributor = Attributor(framed, ["layer"], ["gradcam"])  # its probabilities are no softmax
    attributor.maps(Batch([0], torch.rand(1, 3, 4, 2, 2)), lambda p: [[0]])
    assert attributor.softmaxed is None
