from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.capture import captured
from vidcam.models import inference
from vidcam.models.inference import observed, prepared, steps_of, structure_of, windows_at_once
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model, load_model

SMALL = Preprocess(16, (16, 16), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def _normalisations(model: Model) -> int:
    return sum(isinstance(m, nn.BatchNorm3d) for m in model.network.modules())


def _scores(model: Model, dtype: torch.dtype = torch.float32) -> Tensor:
    windows = torch.randn(
        2, 3, model.spec.frames, *model.spec.preprocess.crop, generator=torch.Generator().manual_seed(3)
    )
    with torch.no_grad():
        return model.network(windows.to(dtype)).float()


def test_folding_changes_no_answer_and_leaves_the_model_alone() -> None:
    model = load_model("playground-r2plus1d")
    before = _normalisations(model)
    quick = prepared(model, torch.float32, structure_of(model, ["layer3"]))
    assert before > 0 and _normalisations(quick) == 0 and _normalisations(model) == before
    torch.testing.assert_close(_scores(quick), _scores(model), rtol=1e-4, atol=1e-4)


def test_target_layers_keep_their_output() -> None:
    model = load_model("playground-r2plus1d")
    quick = prepared(model, torch.float32, structure_of(model, ["stem.0"]))
    given = []
    for network in (model.network, quick.network):
        handle = network.get_submodule("stem.0").register_forward_hook(lambda m, i, o: given.append(o.clone()))
        _scores(Model(network, model.spec, model.labels, "test"))
        handle.remove()
    torch.testing.assert_close(given[0], given[1])


def test_the_trunk_is_short_and_the_head_is_not() -> None:
    model = load_model("playground-r2plus1d")
    quick = prepared(model, torch.bfloat16, structure_of(model, ["layer2"]))
    dtypes = {name: p.dtype for name, p in quick.network.named_parameters()}
    assert dtypes["stem.0.weight"] == dtypes["layer2.conv2.3.weight"] == torch.bfloat16
    assert dtypes["layer3.conv1.0.weight"] == dtypes["fc.weight"] == torch.float32
    scores = _scores(quick, torch.bfloat16)
    torch.testing.assert_close(scores, _scores(model), rtol=0, atol=0.05 * float(_scores(model).abs().max()))


@pytest.mark.parametrize(
    ("name", "layers"), [("playground-r2plus1d", "layer2,layer3"), ("playground-c3d", "relu4b,relu5a")]
)
def test_several_target_layers_in_a_short_float(name: str, layers: str) -> None:
    model = load_model(name)
    quick = prepared(model, torch.bfloat16, structure_of(model, layers.split(",")))
    scores = _scores(quick, torch.bfloat16)
    torch.testing.assert_close(scores, _scores(model), rtol=0, atol=0.05 * float(_scores(model).abs().max()))


class Pathways(nn.Module):
    """Two pathways, both of them targets, that meet in the head."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(3, 4, 3, padding=1)
        self.fuse, self.fc = nn.Conv3d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        slow, fast = self.slow(x), self.fast(x)
        return self.fc((self.fuse(slow) + fast).relu().mean((2, 3, 4)))


def test_two_pathways_in_a_short_float() -> None:
    torch.manual_seed(2)
    model = own_model(Pathways().eval(), preprocess=SMALL, frames=4, layer="slow,fast")
    quick = prepared(model, torch.bfloat16, structure_of(model, ["slow", "fast"]))
    assert {quick.network.slow.weight.dtype, quick.network.fast.weight.dtype} == {torch.bfloat16}
    assert quick.network.fuse.weight.dtype == torch.float32
    torch.testing.assert_close(_scores(quick, torch.bfloat16), _scores(model), rtol=0, atol=0.02)


class Twice(nn.Module):
    """A convolution whose output is normalised and used as it is: folding would change the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.fc((y + self.norm(y)).relu().mean((2, 3, 4)))


def test_a_convolution_that_is_used_twice_is_not_folded() -> None:
    network = Twice().eval()
    nn.init.constant_(network.norm.weight, 3.0)
    model = own_model(network, preprocess=SMALL, frames=4, layer="conv")
    other = prepared(model, torch.float32, structure_of(model, []))
    assert _normalisations(other) == 1
    torch.testing.assert_close(_scores(other), _scores(model))


@pytest.mark.parametrize("name", ["r2plus1d_18"])
@pytest.mark.slow
def test_a_published_architecture(name: str) -> None:
    model = load_model(name, "none")
    quick = prepared(model, torch.float32, structure_of(model, [model.spec.layer]))
    torch.testing.assert_close(_scores(quick), _scores(model), rtol=1e-3, atol=1e-3)


class Rectified(nn.Module):
    """What is between convolution and normalisation is changed in place: it is the same tensor, and not foldable."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x).relu_()).mean((2, 3, 4)))


class Shared(nn.Module):
    """A convolution that is called twice, once without normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv3d(3, 3, 3, padding=1), nn.BatchNorm3d(3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(self.norm(self.conv(x)).relu()).mean((2, 3, 4)))


class Counting(nn.Module):
    """Cannot run without numbers: it looks at them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return self.fc((y if y.sum().item() > 0 else -y).relu().mean((2, 3, 4)))


@pytest.mark.parametrize(("network", "folded"), [(Rectified(), False), (Shared(), False), (Counting(), True)])
def test_only_what_gives_the_same_answer_is_folded(network: nn.Module, folded: bool) -> None:
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.constant_(norm.weight, 3.0)
            nn.init.constant_(norm.running_mean, 0.5)
    model = own_model(network.eval(), preprocess=SMALL, frames=4, layer="conv")
    quick = prepared(model, torch.float32, structure_of(model, []))
    assert _normalisations(quick) == (0 if folded else 1)
    torch.testing.assert_close(_scores(quick), _scores(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("playground-r2plus1d", "layer3"),
        ("playground-r2plus1d", "layer1"),  # normalisations in the head, which the gradient passes
        ("playground-c3d", "relu4b"),
        pytest.param("r2plus1d_18", "layer4", marks=pytest.mark.slow),
        pytest.param("tsm_r50", "features", marks=pytest.mark.slow),
        pytest.param("slow_r50-mmaction", "blocks.4", marks=pytest.mark.slow),
    ],
)
def test_a_run_with_gradients_shows_the_same_structure_as_one_without(name: str, layer: str) -> None:
    model = load_model(name, "none")
    window = torch.randn(1, 3, model.spec.frames, *model.spec.preprocess.crop)
    with (
        observed(model, [layer]) as seen,
        captured(model.network, [layer], window, layout=model.spec.layout, pack=model.spec.pack) as capture,
    ):
        capture.gradients(capture.output[:, 0])
    assert seen == structure_of(model, [layer])
    assert len(seen.pairs) == sum(isinstance(m, nn.BatchNorm3d | nn.BatchNorm2d) for m in model.network.modules())


def test_a_batch_is_what_memory_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("playground-r2plus1d")
    quick = prepared(model, torch.float32, structure_of(model, ["layer3"]))
    # The stem's first convolution: from 16 frames of 3 x 112 x 112 to 24 x 56 x 56, in float32, held twice.
    assert quick.window_bytes >= 2 * 4 * 16 * (3 * 112 * 112 + 24 * 56 * 56)
    assert prepared(model, torch.bfloat16, structure_of(model, ["layer3"])).window_bytes == quick.window_bytes // 2
    for free, expected in ((4 * quick.window_bytes, 1), (8 * quick.window_bytes, 2), (1, 1), (2**40, 4)):
        memory = type("Memory", (), {"available": free})
        monkeypatch.setattr(inference.psutil, "virtual_memory", lambda memory=memory: memory)
        assert windows_at_once(quick) == expected


def test_steps_of_a_layer() -> None:
    model = load_model("playground-r2plus1d")
    assert (steps_of(model, "stem"), steps_of(model, "layer3")) == (16, 8)
