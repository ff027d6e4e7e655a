from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.models.inference import prepared, quickest_dtype
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
    quick = prepared(model, torch.float32, ["layer3"])
    assert before > 0 and _normalisations(quick) == 0 and _normalisations(model) == before
    torch.testing.assert_close(_scores(quick), _scores(model), rtol=1e-4, atol=1e-4)


def test_target_layers_keep_their_output() -> None:
    model = load_model("playground-r2plus1d")
    quick = prepared(model, torch.float32, ["stem.0"])
    given = []
    for network in (model.network, quick.network):
        handle = network.get_submodule("stem.0").register_forward_hook(lambda m, i, o: given.append(o.clone()))
        _scores(Model(network, model.spec, model.labels, "test"))
        handle.remove()
    torch.testing.assert_close(given[0], given[1])


def test_the_trunk_is_short_and_the_head_is_not() -> None:
    model = load_model("playground-r2plus1d")
    quick = prepared(model, torch.bfloat16, ["layer2"])
    dtypes = {name: p.dtype for name, p in quick.network.named_parameters()}
    assert dtypes["stem.0.weight"] == dtypes["layer2.conv2.3.weight"] == torch.bfloat16
    assert dtypes["layer3.conv1.0.weight"] == dtypes["fc.weight"] == torch.float32
    scores = _scores(quick, torch.bfloat16)
    torch.testing.assert_close(scores, _scores(model), rtol=0, atol=0.05 * float(_scores(model).abs().max()))


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
    other = prepared(model, torch.float32, [])
    assert _normalisations(other) == 1
    torch.testing.assert_close(_scores(other), _scores(model))


def test_the_quickest_dtype_is_one_of_two() -> None:
    assert quickest_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("name", ["r2plus1d_18"])
@pytest.mark.slow
def test_a_published_architecture(name: str) -> None:
    model = load_model(name, "none")
    quick = prepared(model, torch.float32, [model.spec.layer])
    torch.testing.assert_close(_scores(quick), _scores(model), rtol=1e-3, atol=1e-3)
