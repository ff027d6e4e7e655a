from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vidcam.errors import ModelError
from vidcam.models.c3d import C3D, Pool5, renamed
from vidcam.models.registry import load_model
from vidcam.models.weights import State, fitted_to, read_checkpoint

CONVOLUTIONS = ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b")


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network = C3D()
    # convolutions, fc6 of 8192 inputs, fc7, fc8
    assert sum(p.numel() for p in network.parameters()) == 27_655_936 + 33_558_528 + 16_781_312 + 1_995_239
    convolutions = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Conv3d)]
    assert convolutions == ["conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b"]


@pytest.mark.parametrize("pool5", ["ceil", "pad"])
def test_shapes_through_the_network(pool5: Pool5) -> None:
    network = C3D(5, widths=(2, 3, 4, 5, 6), hidden=8, pool5=pool5).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda m, i, o, name=name: shapes.__setitem__(name, tuple(o.shape[1:])))
    assert network(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 5)
    assert shapes["pool1"] == (2, 16, 56, 56)
    assert shapes["pool2"] == (3, 8, 28, 28)
    assert shapes["pool3"] == (4, 4, 14, 14)
    assert shapes["relu5b"] == (6, 2, 7, 7)
    assert shapes["pool5"] == (6, 1, 4, 4)


def test_the_two_pools_take_windows_a_pixel_apart() -> None:
    x = torch.arange(49.0).view(1, 1, 1, 7, 7).repeat(1, 1, 2, 1, 1)
    ceil, pad = (
        C3D(1, widths=(1,) * 5, hidden=1, pool5="ceil").pool5,
        C3D(1, widths=(1,) * 5, hidden=1, pool5="pad").pool5,
    )
    columns = torch.arange(7)
    by_ceil = [columns[i : i + 2].max().item() for i in (0, 2, 4, 6)]
    by_pad = [columns[max(0, i) : i + 2].max().item() for i in (-1, 1, 3, 5)]
    assert ceil(x)[0, 0, 0, 0].tolist() == [7 + c for c in by_ceil]
    assert pad(x)[0, 0, 0, 0].tolist() == by_pad


def _features_and_classifier(state: State) -> State:
    stems = {f"conv{c}": f"features.{i}" for c, i in zip(CONVOLUTIONS, (0, 3, 6, 8, 11, 13, 16, 18))}
    return _stems(state, {**stems, "fc6": "classifier.0", "fc7": "classifier.3"})


def _mmaction(state: State) -> State:
    stems = {f"conv{c}": f"backbone.conv{c if len(c) == 2 else c + 'a'}.conv" for c in CONVOLUTIONS}
    return _stems(state, {**stems, "fc6": "backbone.fc6", "fc7": "backbone.fc7", "fc8": "cls_head.fc_cls"})


def _stems(state: State, stems: dict[str, str]) -> State:
    return {f"{stems.get(name.split('.')[0], name.split('.')[0])}.{name.split('.')[1]}": v for name, v in state.items()}


@pytest.mark.parametrize("layout", [lambda s: s, _features_and_classifier, _mmaction])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])
def test_checkpoints_as_found_in_the_wild(tmp_path: Path, layout: Any, wrap: Any) -> None:
    network = C3D(5, widths=(2, 3, 4, 5, 6), hidden=7)
    torch.save(wrap(layout(network.state_dict())), tmp_path / "w.pth")
    state, note = fitted_to(network, read_checkpoint(tmp_path / "w.pth"), renamed)
    assert note == ""
    assert set(state) == set(network.state_dict())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_a_file_without_classifier_gives_no_class(tmp_path: Path) -> None:
    state = _features_and_classifier({k: v for k, v in C3D(5).state_dict().items() if not k.startswith("fc8")})
    save_file({k: v.half().contiguous() for k, v in state.items()}, tmp_path / "pretrained.safetensors")
    with pytest.raises(ModelError, match=r"no classifier \(fc8.weight is missing.*can give features, but a class"):
        load_model("c3d-jfzhang95", tmp_path / "pretrained.safetensors")


def test_names_of_other_networks_are_left_alone() -> None:
    assert set(renamed({"head": torch.zeros(1), "stem.conv.weight": torch.zeros(1)})) == {"head", "stem.conv.weight"}
