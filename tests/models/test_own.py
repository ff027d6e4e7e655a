from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import vidcam
from tests.conftest import numbered, write_video
from vidcam import cli
from vidcam.cam.layout import Layout
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError
from vidcam.evaluation.inference import confidences
from vidcam.explainer import Explainer
from vidcam.fit import layers_of
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, softmax
from vidcam.recipe import Recipe, read_config
from vidcam.results.explanation import Explanation

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, width, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return {"logits": self.head(self.body(x).mean((2, 3, 4)))}

def build(width=6):
    return Net(width)

def broken():
    raise RuntimeError("no weights for that")

def text():
    return "net"
"""

CONFIG = """
model:
  factory: MODULE:build
  arguments: {width: 8}
  frames: 4
  preprocess: {resize: 36, crop: [32, 32], mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}
labels: LABELS
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of an importable module of a user's."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("run\nsit\nwave\njump\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def _config(tmp_path: Path, own: str, text: str = CONFIG) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("MODULE", own).replace("LABELS", str(tmp_path / "labels.txt")), encoding="utf-8")
    return path


def test_a_config_names_a_factory(own: str, tmp_path: Path, clip_path: Path) -> None:
    settings = read_config(_config(tmp_path, own), {"target": "wave"}, trusted=True)
    model = settings.load()
    assert model.spec.layer == "body" and model.labels == ("run", "sit", "wave", "jump")
    found = vidcam.explain(clip_path, model, settings.target)
    assert found.model == f"{own}:build" and found.target.label == "wave"
    assert found.maps.shape == (24, 16, 16) and found.maps.std() > 0


def test_a_layout_in_a_config(own: str, tmp_path: Path) -> None:
    text = CONFIG.replace("  frames: 4\n", "  frames: 4\n  layout: n (t h w) c\n  grid: [2, 4, 4]\n")
    spec = read_config(_config(tmp_path, own, text), trusted=True).load().spec
    assert spec.layout == Layout("n (t h w) c", (2, 4, 4)) and spec.layer == "body.0"


CODE = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.rgb, self.motion = nn.Conv3d(3, 2, 1), nn.Conv3d(3, 2, 1)
        self.fc = nn.Linear(2, 3)

    def forward(self, frames, motion):
        features = self.rgb(frames).mean((2, 3, 4)) + 3 * self.motion(motion).mean((2, 3, 4))
        return features, {"action": self.fc(features)}

def two():
    torch.manual_seed(0)
    return Two()

def in_order(windows):
    return windows, windows.diff(dim=2)

def by_name(windows):
    return {"motion": windows.diff(dim=2), "frames": windows}

def second(output):
    return output[1]["action"]

def thirds(scores):
    return torch.full_like(scores, 1 / 3)
"""


@pytest.mark.parametrize("pack", ["in_order", "by_name"])
@pytest.mark.parametrize("output", ["1.action", "own_code:second"])
def test_a_config_names_two_inputs_and_the_scores_in_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: str, output: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_code", raising=False)
    (tmp_path / "own_code.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        f"model: {{factory: 'own_code:two', pack: 'own_code:{pack}', output: {output}, frames: 4, frame_rate: 8, layer: rgb,"
        " probabilities: PROBABILITIES, preprocess: {resize: [8, 8], crop: [8, 8], mean: [0, 0, 0], std: [1, 1, 1]}}",
        encoding="utf-8",
    )
    text = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    models = {}
    for probabilities in ("sigmoid", "own_code:thirds"):
        (tmp_path / "mine.yaml").write_text(text.replace("PROBABILITIES", f"'{probabilities}'"), encoding="utf-8")
        models[probabilities] = read_config(tmp_path / "mine.yaml", {}, trusted=True).load()
    model = models["sigmoid"]
    assert list(layers_of(model)) == ["rgb", "motion"]
    pixels = torch.from_numpy(GREY[:4]).float().permute(3, 0, 1, 2)[None]
    window = model.spec.preprocess.normalized(pixels)
    with torch.no_grad():
        scores = model.network(window, window.diff(dim=2))[1]["action"][0]
    assert [_probability(model, i) for i in range(3)] == pytest.approx(scores.sigmoid().tolist(), abs=1e-5)
    assert _probability(models["own_code:thirds"], 2) == pytest.approx(1 / 3)
    assert confidences(model, pixels)[0] == pytest.approx(scores.sigmoid().numpy(), abs=1e-5)


def test_functions_of_a_config_that_are_missing(own: str, tmp_path: Path) -> None:
    for setting in ("pack", "probabilities", "output"):
        path = _config(tmp_path, own, f"model: {{factory: 'MODULE:build', {setting}: 'MODULE:none'}}")
        with pytest.raises(ModelError, match=rf"the module of {setting} '{own}:none' has no function 'none'"):
            read_config(path, {}, trusted=True).load()
    path = _config(tmp_path, own, "model: {factory: 'MODULE:build', probabilities: softmaxx}")
    with pytest.raises(
        SettingsError, match="there is no kind of probabilities 'softmaxx'; choose one of auto, softmax"
    ):
        read_config(path, {}, trusted=True).load()


def test_no_code_is_run_for_a_config_that_is_not_trusted(own: str, tmp_path: Path, clip_path: Path) -> None:
    (tmp_path / f"{own}.py").write_text("raise SystemExit('this was run')", encoding="utf-8")
    path = _config(tmp_path, own)
    with pytest.raises(SettingsError, match=rf"names code to run \(factory '{own}:build'\).*pass --trust-config"):
        read_config(path, {})
    told = CliRunner().invoke(
        cli.app, ["explain", str(clip_path), "--config", str(path), "--out", str(tmp_path / "out")]
    )
    assert isinstance(told.exception, SettingsError) and not (tmp_path / "out").exists()


def test_weights_of_an_own_model(own: str, tmp_path: Path) -> None:
    weights = read_config(_config(tmp_path, own), {}, trusted=True).load().network.state_dict()
    changed = {f"module.{k}": v + 1 for k, v in weights.items()}
    torch.save(changed, tmp_path / "w.pth")
    loaded = read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()
    assert all(torch.equal(v, weights[k] + 1) for k, v in loaded.network.state_dict().items())
    torch.save({**changed, "n_averaged": torch.tensor(3)}, tmp_path / "w.pth")
    averaged = read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()
    assert averaged.note.startswith("of the weights, 1 tensor outside the network left out: n_averaged")
    assert all(torch.equal(v, weights[k] + 1) for k, v in averaged.network.state_dict().items())
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"do not fit the network: 4 missing: .*1 unexpected: other.weight"):
        read_config(_config(tmp_path, own), {"weights": str(tmp_path / "w.pth")}, trusted=True).load()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("MODULE:broken", r"fails: RuntimeError: no weights for that, at .*own_\d+.py, line 17: raise RuntimeError"),
        ("MODULE:build2", r"has no function 'build2'"),
        ("MODULE:text", r"gives is a str; give an nn.Module"),
        ("MODULE", r"names no function; give package.module:function"),
        ("nowhere.at_all:build", r"does not import \(ModuleNotFoundError: No module named 'nowhere'\)"),
    ],
)
def test_factories_that_fail(own: str, tmp_path: Path, factory: str, message: str) -> None:
    path = _config(tmp_path, own, f"model: {{factory: '{factory}'}}")
    with pytest.raises(ModelError, match=message):
        read_config(path, {}, trusted=True).load()


class Wants8Frames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((3, 4)).flatten(1))


def test_a_network_that_does_not_run_on_the_window() -> None:
    with pytest.raises(ModelError, match=r"Wants8Frames does not run on a window \(1, 3, 16, 112, 112\).*test_own.py"):
        own_model(Wants8Frames())
    assert own_model(Wants8Frames(), frames=8, labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ModelError, match="1 label given, Wants8Frames has 2 classes"):
        own_model(Wants8Frames(), frames=8, labels=["a"])


def test_numbers_in_a_file_of_labels_are_said(tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("2 b\n1 a\n")
    model = own_model(Wants8Frames(), frames=8, labels=tmp_path / "classInd.txt")
    assert model.labels == ("a", "b") and "numbers from 1 to 2 give the order" in model.note


def test_a_module_is_explained_as_it_is(clip_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    found = vidcam.explain(clip_path, network, 1)
    assert (found.model, found.layer, found.target.label) == ("Sequential", "1", "class 1")
    assert found.maps.shape == (24, 28, 28)


def test_tokens_and_networks_of_frames(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv3d(3, 8, (2, 16, 16), (2, 16, 16))
            self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            tokens = self.block(self.patch(x).flatten(2).transpose(1, 2))
            return self.fc(tokens.mean(1)), tokens

    torch.manual_seed(0)
    model = own_model(Tokens(), frames=4, layout=Layout("n (t h w) c", (2, 7, 7)), frame_rate=10, output=0)
    assert model.spec.layer == "block"
    path = write_video(tmp_path / "clip.mp4", [numbered(i, 48, 64) for i in range(9)])
    assert vidcam.explain(path, model).maps.shape == (9, 7, 7)


def test_a_network_without_space_and_time() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 1 * 8 * 8, 2))
    with pytest.raises(ModelError, match="no layer's output has time and space"):
        own_model(flat, frames=1, preprocess=vidcam.Preprocess(8, (8, 8), (0.0,) * 3, (1.0,) * 3))


class FramesInTheBatch(nn.Module):
    """A 2D network on every frame as a row of the batch, (N, 3, T, H, W) to scores of frames."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.conv, self.fc, self.pooled = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 2), pooled

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, _, _ = x.shape
        scores = self.fc(self.conv(x.transpose(1, 2).flatten(0, 1)).relu().mean((2, 3)))
        return scores.view(n, t, 2).mean(1) if self.pooled else scores


def test_scores_of_frames_in_the_batch_are_refused_and_their_mean_is_explained() -> None:
    told = "gives scores of 16 rows for one window of 16 frames; wrap it .* the mean over its frames"
    with pytest.raises(ModelError, match=told):
        own_model(FramesInTheBatch(pooled=False))
    with pytest.raises(ModelError, match=r"FramesInTheBatch: layer 'conv' gives the frames .*give their layout"):
        own_model(FramesInTheBatch(pooled=True))
    model = own_model(FramesInTheBatch(pooled=True), layout=Layout("(n t) c h w"))
    assert model.spec.layer == "conv"
    found = vidcam.explain(np.zeros((20, 40, 40, 3), np.uint8), model, 1, frame_rate=10)
    assert found.maps.shape == (20, 55, 55)


class Head(nn.Module):
    """A network of known scores: the mean red and green of a window, times a matrix; then what `end` makes of them."""

    def __init__(self, classes: int, end: Callable[[Tensor], Any] = lambda scores: scores) -> None:
        super().__init__()
        self.body = nn.Conv3d(3, 2, 1, bias=False)
        self.fc = nn.Linear(2, classes)
        self.end = end
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(2, 3).view(2, 3, 1, 1, 1))
            self.fc.weight.copy_(torch.tensor([[3.0, 1.0], [-1.0, 2.0], [0.5, -4.0]])[:classes])
            self.fc.bias.copy_(torch.tensor([0.2, -0.4, 0.1])[:classes])

    def scores(self, red: float, green: float) -> Tensor:
        """Return its scores (classes,) of a window of one colour, in 0..255, that `PLAIN` normalises."""
        with torch.no_grad():
            scores: Tensor = self.fc(torch.tensor([red / 255, green / 255]))
        return scores

    def forward(self, x: Tensor) -> Any:
        return self.end(self.fc(self.body(x).mean((2, 3, 4))))


PLAIN = vidcam.Preprocess(8, (8, 8), (0.0,) * 3, (1.0,) * 3)
GREY = np.full((8, 8, 8, 3), (200, 100, 50), np.uint8)
GREY[:, :, ::2] += 10  # stripes, so that its heat has places
GREY[:, :, 1::2] -= 10


def _own(network: nn.Module, **settings: Any) -> Model:
    return own_model(network, frames=4, frame_rate=8, preprocess=PLAIN, **settings)


def _explained(model: Model, target: Any = "top", **settings: Any) -> Explanation:
    return vidcam.explain(GREY, model, target, method="gradcam", dtype="float32", frame_rate=8, **settings)


def _probability(model: Model, index: int = 0) -> float | None:
    return _explained(model, index).target.probability


def test_one_logit_is_the_probability_of_one_class() -> None:
    network = Head(1)
    assert _probability(_own(network)) == pytest.approx(float(network.scores(200, 100).sigmoid()), abs=1e-5)
    squeezed = Head(1, lambda scores: scores[:, 0])
    assert _probability(_own(squeezed, scores="n")) == pytest.approx(
        float(network.scores(200, 100).sigmoid()), abs=1e-5
    )
    with pytest.raises(ModelError, match="softmax of one class is always 1; give probabilities='sigmoid'"):
        _own(network, probabilities="softmax")


ENDS = {
    "softmax": lambda scores: scores.softmax(1),
    "sigmoid": torch.sigmoid,
    "mean of two softmaxes": lambda scores: (scores.softmax(1) + (2 * scores).softmax(1)) / 2,
    "half precision": lambda scores: scores.softmax(1).half(),
}


@pytest.mark.parametrize("end", ENDS)
def test_networks_that_give_probabilities_are_asked_about(end: str) -> None:
    kind = "sigmoid" if end == "sigmoid" else "softmax"
    with pytest.raises(ModelError, match=rf"Head gives probabilities itself .* leave out its {kind}, .*='given'"):
        _own(Head(3, ENDS[end]))
    with pytest.raises(ModelError, match=r"leave out its last module \('1', Softmax\)"):
        own_model(nn.Sequential(Head(3), nn.Softmax(1)), frames=4, preprocess=PLAIN)
    own = _own(Head(3, ENDS[end]), probabilities="softmax")
    assert "gives probabilities itself" in _explained(own).warnings[-1]
    given = _own(Head(3, ENDS[end]), probabilities="given")
    expected = ENDS[end](given.network.scores(200, 100)[None])[0].float()
    explained = _explained(given)
    assert not any("probabilities" in w for w in explained.warnings) and explained.target.index == expected.argmax()
    rounding = 2e-3 if end == "half precision" else 1e-5
    assert dict(explained.top) == pytest.approx({f"class {i}": float(p) for i, p in enumerate(expected)}, abs=rounding)


def test_the_logit_of_a_given_probability_is_explained() -> None:
    """The logit of a sigmoid is the score before it, so its maps are those of the network without it."""
    sigmoid, scores = Head(3, torch.sigmoid), Head(3)
    before = _explained(_own(scores, probabilities="sigmoid"), "class 0")
    after = _explained(_own(sigmoid, probabilities="given"), "class 0")
    assert after.maps.any()
    np.testing.assert_allclose(after.maps, before.maps, rtol=1e-4)
    contrast = _explained(_own(sigmoid, probabilities="given"), "class 0 - class 1")
    value = scores.scores(200, 100)
    assert contrast.target.value == pytest.approx(float(value[0] - value[1]), rel=1e-4)


def test_probabilities_that_are_none() -> None:
    with pytest.raises(
        ModelError, match=r"Head gives scores from -0.4 to 0.2, which are no probabilities; leave out prob"
    ):
        _own(Head(3), probabilities="given")


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_scores_between_0_and_1_are_scores_if_they_grow_with_the_window(classes: int) -> None:
    torch.manual_seed(classes)
    network = Head(classes)
    nn.init.constant_(network.fc.bias, 0.5)  # on zeros all scores are 0.5
    assert _own(network).note == ""
    nn.init.zeros_(network.fc.bias)
    nn.init.zeros_(network.fc.weight)  # a head before its training
    assert _own(network).note == ""


def test_features_are_not_explained_as_classes() -> None:
    features = Head(3, lambda scores: (torch.cat([scores] * 100, 1) + 9, scores))
    with pytest.raises(TargetError, match=r"Head has no classes .* tuple of 2 tensors \(0: \(1, 300\), 1: \(1, 3\)\)"):
        _explained(_own(features))
    with pytest.raises(TargetError, match="tuple of 2 tensors"):
        _own(features, labels=["a", "b", "c"])
    expected = float(features.scores(200, 100).softmax(0)[0])
    for part in (1, "1", lambda output: output[1]):
        model = _own(features, output=part, labels=["a", "b", "c"])
        assert model.labels == ("a", "b", "c") and _probability(model) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(TargetError, match="no part 'logits'; its parts are 0, 1"):
        _own(features, output="logits")
    with pytest.raises(ModelError, match=r"output of Head .*IndexError.*test_own.py"):
        _own(features, output=lambda output: output[5])


def test_several_labels_at_once() -> None:
    model = _own(Head(3), probabilities="sigmoid", labels=["a", "b", "c"])
    expected = model.network.scores(200, 100).sigmoid()
    found = Explainer(model, Recipe(method="gradcam", dtype="float32")).explain(GREY, ["a", "c"])
    assert [f.target.probability for f in found] == pytest.approx([float(expected[0]), float(expected[2])], abs=1e-5)
    best = Explainer(model, Recipe(method="gradcam", dtype="float32")).explain(GREY, "top3")
    assert [f.target.index for f in best] == expected.argsort(descending=True).tolist()


def test_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = _own(Head(1, lambda scores: 10 * scores), probabilities="none", unit="years", labels=["age"])
    age = 10 * float(model.network.scores(200, 100))
    found = _explained(model)
    assert (found.target.index, found.target.label, found.target.probability) == (0, "age", None)
    assert found.target.value == pytest.approx(age, rel=1e-5) and found.top == ()
    np.testing.assert_allclose(found.scores, age, rtol=1e-5)
    assert repr(found).startswith(f"<Explanation of 'array': 'age', value {age:.4g} years, ")
    outputs = found.save(tmp_path / "out")
    target = json.loads(outputs.summary.read_text())["target"]
    assert target == {"index": 0, "label": "age", "probability": None, "value": found.target.value, "unit": "years"}
    assert vidcam.load_explanation(tmp_path / "out").target == found.target
    with pytest.raises(TargetError, match="Head gives no probabilities of classes, which segments are cut from"):
        vidcam.localize(GREY, model)
    with pytest.raises(SettingsError, match="unit 'years' is of values"):
        _own(Head(1), unit="years")


def test_several_values() -> None:
    model = _own(Head(2), probabilities="none", labels=["valence", "arousal"])
    with pytest.raises(TargetError, match=r"gives 2 values .* none is the top one; give one of valence, arousal"):
        _explained(model)
    assert _explained(model, "arousal").target.value == pytest.approx(
        float(model.network.scores(200, 100)[1]), rel=1e-5
    )


@pytest.mark.parametrize(
    "end",
    [
        lambda scores: scores[:, :, None, None, None] + torch.zeros(1, 3, 4, 8, 8),
        lambda scores: {"boxes": [scores, scores[:, :2]], "count": 3},
        lambda scores: SimpleNamespace(embedding=scores, mean=scores.mean()),
        lambda scores: (scores, scores),
    ],
)
def test_a_function_explains_any_output(end: Any) -> None:
    def red(output: Any) -> Tensor:
        match output:
            case Tensor():
                return output[:, 0, 0, 0, 0]
            case dict():
                return output["boxes"][0][:, 0]
            case tuple():
                return output[1][:, 0]
        return output.embedding[:, 0]

    network = Head(3, end)
    found = _explained(_own(network), red)
    plain = _explained(_own(Head(3)), lambda output: output[:, 0])
    assert found.target.label == "red" and found.target.probability is None and found.top == ()
    assert found.target.value == pytest.approx(float(network.scores(200, 100)[0]), rel=1e-5)
    np.testing.assert_allclose(found.maps, plain.maps, rtol=1e-5)
    with pytest.raises(TargetError, match="Head has no classes to explain: the network gives"):
        _explained(_own(network), "class 0")


@pytest.mark.parametrize("probabilities", ["sigmoid", "none"])
def test_a_softmax_is_explained_only_where_there_is_one(probabilities: Any) -> None:
    model = _own(Head(3), probabilities=probabilities)
    with pytest.raises(SettingsError, match=r"gradcam\+\+softmax explains the softmax .* of Head are none"):
        Explainer(model, Recipe(method="gradcam,gradcam++softmax"))


class Ordered(nn.Module):
    """Tokens in the order (h w t), whose mean is classified."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.block, self.fc = nn.Conv3d(3, 8, (1, 2, 2), (1, 2, 2)), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(self.patch(x).permute(0, 3, 4, 2, 1).flatten(1, 3)).relu().mean(1))


def test_a_layout_that_contradicts_the_window_is_refused() -> None:
    told = r"Ordered: the output of layer 'block' does not follow .* does in 'n \(h w t\) c' with grid \(4, 4, 4\); give that"
    with pytest.raises(ModelError, match=told):
        _own(Ordered(), layout=Layout("n (t h w) c", (4, 4, 4)))
    assert _own(Ordered(), layout=Layout("n (h w t) c", (4, 4, 4))).spec.layer == "block"


def test_layers_of_a_half_network() -> None:
    model = _own(Head(3).half(), probabilities="sigmoid")
    assert list(layers_of(model)) == ["body"]
    with pytest.raises(LayerError, match=r"Head has no layer 'none'; its space-time layers are body"):
        Explainer(model, Recipe(layer="none"))


class TwoPaths(nn.Module):
    """Two convolutions whose features are added outside of a module."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.slow, self.fast, self.fc = nn.Conv3d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.slow(x).relu() + self.fast(x).relu()).mean((2, 3, 4)))


SMALL: Any = {"frames": 4, "preprocess": Preprocess(32, (32, 32), (0, 0, 0), (1, 1, 1))}


def test_a_path_beside_the_layer_is_said() -> None:
    model = own_model(TwoPaths(), **SMALL)
    assert model.spec.layer == "fast" and "the score depends on more than layer fast" in model.note
    assert "the score depends on more than layer fast" in own_model(TwoPaths(), layer="fast", **SMALL).note


def test_labels_and_frames_of_numpy_are_taken() -> None:
    model = own_model(TwoPaths(), **{**SMALL, "frames": np.int64(4)}, labels=np.array(["a", "b"]))  # type: ignore[arg-type]
    assert model.labels == ("a", "b")


def test_a_network_of_one_window_is_refused() -> None:
    network = TwoPaths()
    network.forward = lambda x: TwoPaths.forward(network, x).view(1, 2)  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="runs on one window and not on a batch of two"):
        own_model(network, **SMALL)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (lambda x: x.flip(2), "runs against the window in time"),
        (lambda x: x[..., 4:-4, 4:-4], "has not seen the top 4 pixels of the window"),
    ],
)
def test_a_layer_that_reads_the_window_otherwise_is_refused(reads: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        own_model(TwoPaths(), pack=reads, **SMALL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {1: "b", 0: "a"}}, "labels of type dict have no order"),
        ({"labels": {"a", "b"}}, "labels of type set have no order"),
        ({"frames": 8.0}, "frames 8.0"),
        ({"frames": -3}, "frames -3"),
        ({"frame_rate": -1}, "frame rate -1"),
        ({"frame_rate": float("nan")}, "frame rate nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        own_model(TwoPaths(), **{**SMALL, **settings})


def test_an_error_in_a_function_of_probabilities_is_said_with_its_line() -> None:
    with pytest.raises(ModelError, match=r"the function of probabilities fails .*KeyError: 'x', at .*test_own.py"):
        own_model(TwoPaths(), probabilities=lambda scores: {}["x"], **SMALL)  # type: ignore[misc]
    with pytest.raises(ModelError, match=r"the function of probabilities gives list"):
        own_model(TwoPaths(), probabilities=lambda scores: scores.tolist(), **SMALL)


def test_an_error_in_a_function_as_target_is_said() -> None:
    clip = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(TargetError, match=r"the target function fails on the network's output \(KeyError: 'x'\)"):
        vidcam.explain(clip, own_model(TwoPaths(), **SMALL), lambda output: {}["x"])  # type: ignore[misc]


def test_scores_between_0_and_1_are_said_to_be_probabilities_or_scores() -> None:
    class Small(Head):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 + 0.3 * super().forward(x).tanh()

    with pytest.raises(ModelError, match="if they are scores all the same, give probabilities='softmax'"):
        _own(Small(3))
    assert _own(Small(3), probabilities="softmax").spec.probabilities is softmax


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda scores: 100 * scores.softmax(1), "gives scaled probabilities"),
        (nn.functional.logsigmoid, "gives logarithms of probabilities"),
    ],
)
def test_scaled_probabilities_and_their_logarithms_are_asked_about(end: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        _own(Head(3, end))


@pytest.mark.parametrize(
    "end",
    [lambda scores: scores, lambda scores: scores.log_softmax(1), lambda scores: -scores.relu() - 0.5, torch.relu],
)
def test_scores_are_not_taken_for_probabilities(end: Callable[[Tensor], Tensor]) -> None:
    model = _own(Head(3, end))
    assert model.note == "" and model.spec.probabilities is softmax


def test_logarithms_of_probabilities_are_explained_as_such() -> None:
    explained = _explained(_own(Head(3, nn.functional.logsigmoid), probabilities=torch.exp))
    sigmoid = _explained(_own(Head(3), probabilities="sigmoid"))
    np.testing.assert_allclose(explained.window_scores, sigmoid.window_scores, rtol=1e-4)


def test_a_network_without_classes_is_refused() -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    network[3].weight, network[3].bias = nn.Parameter(torch.zeros(0, 4)), nn.Parameter(torch.zeros(0))
    with pytest.raises(ModelError, match=r"its output has 0 classes; give a network with one or more"):
        own_model(network, **SMALL)
