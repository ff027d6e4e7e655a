from __future__ import annotations

import json
import pickle
import resource
import struct
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.registry import labels_of, load_model, spec_named
from vidcam.models.weights import (
    Checkpoint,
    State,
    check_fit,
    classes_in,
    fitted_to,
    load_into,
    read_checkpoint,
    read_state,
)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code in a checkpoint was run",)


def _prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


WRAPPERS: dict[str, tuple[Callable[[State], object], str]] = {
    "none": (lambda s: s, ""),
    "state_dict": (lambda s: {"state_dict": s, "epoch": 3}, ""),
    "model_state_dict": (lambda s: {"model_state_dict": s, "optimizer_state_dict": OPTIMIZER, "loss": 0.1}, ""),
    "net": (lambda s: {"net": s, "acc": 93.1, "epoch": 7}, ""),
    "ema": (lambda s: {"ema": s}, ""),
    "beside a matrix": (lambda s: {"model": s, "confusion": torch.zeros(3, 3)}, ""),
    "around another": (lambda s: {**s, "moments": {"0.weight": torch.zeros(3, 3)}}, ""),
    "nested": (lambda s: {"model": {"state_dict": s}}, ""),
    "distributed": (lambda s: {"model": _prefixed(s, "module.")}, ""),
    "compiled and distributed": (lambda s: _prefixed(s, "module._orig_mod."), ""),
    "lightning": (
        lambda s: {
            "state_dict": {**_prefixed(s, "model."), "criterion.weight": torch.ones(2)},
            "hyper_parameters": {"lr": 0.1},
            "pytorch-lightning_version": "2.4.0",
            "callbacks": {},
        },
        "1 tensor outside the network left out: criterion.weight",
    ),
    "averaged": (
        lambda s: {"n_averaged": torch.tensor(5), **_prefixed(s, "module.")},
        "1 tensor outside the network left out: n_averaged",
    ),
    "torchvision's reference": (
        lambda s: {"model": s, "optimizer": OPTIMIZER, "epoch": 3, "args": Namespace(lr=0.1), "model_ema": _other(s)},
        "its model is used, not its model_ema",
    ),
    "with a copy": (
        lambda s: {**_prefixed(s, "model."), **_prefixed(_other(s), "ema_model.")},
        "the network is there 2 times, under model. and ema_model.; that under model. is used",
    ),
    "a backbone and a head": (
        lambda s: {("head." + n[2:] if n.startswith("2.") else f"backbone.{n}"): value for n, value in s.items()},
        "head is taken for the classifier 2",
    ),
    "with a copy of a shorter name": (
        lambda s: {**_prefixed(s, "model."), **_prefixed(_other(s), "ema.")},
        "the network is there 2 times, under model. and ema.; that under model. is used",
    ),
}
WRAPPERS |= {
    "in a dict in a dict": (lambda s: {"checkpoint": {"model": s}, "epoch": 3}, ""),
    "in a dict of no usual name": (
        lambda s: {"best": {"state_dict": s, "optimizer": OPTIMIZER}, "config": {"lr": 1}},
        "",
    ),
    "counts of operations": (
        lambda s: {**s, **{f"{m}total_{kind}": torch.zeros(1) for m in ("", "0.", "1.") for kind in ("ops", "params")}},
        "",
    ),
    "weight norm": (
        lambda s: {
            **_without(s, "2.weight"),
            "2.weight_g": s["2.weight"].norm(dim=1, keepdim=True),
            "2.weight_v": 3 * s["2.weight"],
        },
        "",
    ),
    "weight norm as a parametrization": (
        lambda s: {
            **_without(s, "2.weight"),
            "2.parametrizations.weight.original0": s["2.weight"].norm(dim=1, keepdim=True),
            "2.parametrizations.weight.original1": 3 * s["2.weight"],
        },
        "",
    ),
}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3, 2)}, 1: {"exp_avg": torch.zeros(3, 2)}}, "param_groups": []}


def _without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


def _other(state: State) -> State:
    return {name: value + 1 for name, value in state.items()}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapped_checkpoints(tmp_path: Path, name: str) -> None:
    wrap, said = WRAPPERS[name]
    network, other = (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval() for _ in range(2))
    torch.save(wrap(network.state_dict()), tmp_path / "w.pth")
    state, note = fitted_to(other, read_checkpoint(tmp_path / "w.pth"))
    load_into(other, state, "weights")
    window = torch.randn(2, 3)
    torch.testing.assert_close(other(window), network(window))
    assert said in note if said else note == ""


def test_state_dicts_of_which_none_is_the_network(tmp_path: Path) -> None:
    state = nn.Linear(3, 2).state_dict()
    torch.save({"generator": state, "critic": state}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"holds 2 state dicts \(generator, critic\)"):
        read_checkpoint(tmp_path / "w.pth")


def test_several_dicts_with_a_state_dict_each_are_refused(tmp_path: Path) -> None:
    state = nn.Linear(3, 2).state_dict()
    torch.save({"generator": {"best": state}, "critic": {"best": state}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"holds 2 state dicts \(critic, generator\)"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("size", [2, 2048], ids=["small", "large"])
def test_arrays_of_numpy_are_named(tmp_path: Path, size: int) -> None:
    torch.save({"0.weight": np.zeros((size, size), np.float32)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"numpy.*torch\.from_numpy"):
        read_checkpoint(tmp_path / "w.pth")


def test_a_norm_of_another_axis_than_the_first_is_that_of_its_shape() -> None:
    torch.manual_seed(0)
    wrapped, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.nn.utils.parametrizations.weight_norm(wrapped, dim=1)
    wrapped.parametrizations["weight"].original0.data *= 2
    load_into(plain, fitted_to(plain, Checkpoint(wrapped.state_dict(), "")).state, "weights")
    x = torch.randn(4, 3)
    torch.testing.assert_close(plain(x), wrapped(x))
    again = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2), dim=1)
    load_into(again, fitted_to(again, Checkpoint(wrapped.state_dict(), "")).state, "weights")
    torch.testing.assert_close(again(x), wrapped(x))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["fc.1", "fc.0", "head", "classifier.2", "new_fc"])
def test_a_classifier_under_another_name(tmp_path: Path, head: str) -> None:
    torch.manual_seed(0)
    spec = spec_named("r3d_18")
    state = spec.build(7).state_dict()
    renamed = {name.replace("fc.", f"{head}.") if name.startswith("fc.") else name: v for name, v in state.items()}
    torch.save({"state_dict": renamed}, tmp_path / "w.pth")
    model = load_model("r3d_18", tmp_path / "w.pth")
    assert torch.equal(model.network.state_dict()["fc.weight"], state["fc.weight"])
    assert model.labels == tuple(f"class {i}" for i in range(7))
    assert f"{head} is taken for the classifier fc" in model.note and "7 classes" in model.note


def test_a_head_of_two_layers_is_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.Linear(4, 5))
    state = {"0.weight": torch.zeros(4, 3, 1, 1, 1), "0.bias": torch.zeros(4)}
    head = {
        f"fc.{i}.{p}": torch.zeros(4, 4) if p == "weight" else torch.zeros(4)
        for i in (0, 2)
        for p in ("weight", "bias")
    }
    found = fitted_to(network, Checkpoint({**state, **head}, "")).state
    with pytest.raises(
        ModelError, match=r"2 missing: 1.weight, 1.bias; 4 unexpected: fc.0.weight.*2 fitting: 0.weight"
    ):
        load_into(network, found, "weights")


def test_tensors_within_the_network_are_not_left_out() -> None:
    network = nn.Sequential(nn.Linear(3, 2))
    state = {"model.0.weight": torch.zeros(2, 3), "model.0.bias": torch.zeros(2), "model.0.gate": torch.zeros(2)}
    with pytest.raises(ModelError, match=r"1 unexpected: 0\.gate"):
        load_into(network, fitted_to(network, Checkpoint(state, "")).state, "weights")


def test_names_of_many_dots_take_no_memory() -> None:
    state = {"." * 1_000_000: torch.zeros(1), "0.weight": torch.zeros(2, 3)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fitted_to(nn.Sequential(nn.Linear(3, 2)), Checkpoint(state, ""))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_safetensors_in_half_precision_become_float(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 3).half()}, tmp_path / "w.safetensors")
    network = nn.Linear(3, 2, bias=False)
    load_into(network, read_state(tmp_path / "w.safetensors"), "weights")
    assert network.weight.dtype == torch.float32 and torch.equal(network.weight, torch.ones(2, 3))


def test_no_code_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"weight": Bomb()}))
    torch.save({"weight": Bomb()}, tmp_path / "bomb.pt")
    for name in ("bomb.pth", "bomb.pt"):
        with pytest.raises(ModelError, match="cannot be read as plain parameters"):
            read_state(tmp_path / name)
    assert "was run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01garbage" * 20)
    with pytest.raises(ModelError, match="cannot be read as plain parameters"):
        read_state(tmp_path / name)


def test_missing_files_and_files_without_parameters(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_state(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="holds a list, not a state dict"):
        read_state(tmp_path / "list.pth")


def test_a_checkpoint_that_does_not_fit_is_described() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    state = {"0.weight": torch.zeros(2, 4), "0.bias": torch.zeros(2), **{f"x{i}": torch.zeros(1) for i in range(7)}}
    with pytest.raises(ModelError) as caught:
        load_into(network, state, "weights w.pth")
    message = str(caught.value)
    assert "2 missing: 1.weight, 1.bias" in message
    assert "7 unexpected: x0, x1, x2, x3, x4, ..." in message
    assert "1 of another shape: 0.weight (2, 4) instead of (2, 3)" in message


def test_a_checkpoint_without_classifier(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2), nn.LayerNorm(2))
    assert classes_in({"1.weight": torch.zeros(7, 3)}, network, tmp_path) == 7
    features = {name: value for name, value in network.state_dict().items() if not name.startswith("1.")}
    assert classes_in(features, network, tmp_path) == 2
    with pytest.raises(ModelError, match=r"have no classifier \(1.weight is missing"):
        check_fit(network, features, "weights")
    with pytest.raises(ModelError, match=r"do not fit the network: 4 missing.*2 unexpected: x, y"):
        check_fit(
            network,
            {"0.weight": torch.zeros(3, 3), "0.bias": torch.zeros(3), "x": torch.zeros(1), "y": torch.zeros(1)},
            "weights",
        )
    with pytest.raises(ModelError, match=r"has an empty classifier \(1.weight has shape \(1000000000, 0\)\)"):
        classes_in({"1.weight": torch.zeros(10**9, 0)}, network, tmp_path)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "F8_E8M0", "C64", "U16", "I99"])
def test_safetensors_of_other_numbers(tmp_path: Path, kind: str) -> None:
    header = json.dumps(
        {"w": {"dtype": kind, "shape": [8], "data_offsets": [0, {"F4": 4, "C64": 64, "U16": 16}.get(kind, 8)]}}
    )
    data = bytes({"F4": 4, "C64": 64, "U16": 16}.get(kind, 8))
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + data)
    with pytest.raises(ModelError, match=r"w\.safetensors"):
        read_state(tmp_path / "w.safetensors")


def test_a_large_checkpoint_is_not_copied_before_it_fits(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(100 << 20, dtype=torch.float16)}, tmp_path / "w.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state = read_state(tmp_path / "w.pth")
    with pytest.raises(ModelError, match="do not fit"):
        load_into(nn.Linear(3, 2), state, "weights")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_the_file_is_not_kept_open(tmp_path: Path, suffix: str) -> None:
    network = nn.Linear(3, 2)
    path = tmp_path / f"w.{suffix}"
    (torch.save if suffix == "pth" else save_file)(network.state_dict(), path)
    load_into(network, read_state(path), "weights")
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_shapes_are_compared_before_a_network_is_built(tmp_path: Path) -> None:
    state = {k: torch.zeros_like(v) for k, v in load_model("playground-c3d", "none").network.state_dict().items()}
    classifier = next(name for name in reversed(state) if state[name].ndim == 2)
    for wrong, message in ((torch.zeros(10**9, 0), "empty classifier"), (torch.zeros(10**6, 1), "of another shape")):
        torch.save({**state, classifier: wrong}, tmp_path / "w.pth")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ModelError, match=message):
            load_model("playground-c3d", tmp_path / "w.pth")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_files_that_are_none(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "a\0b"):
        with pytest.raises(ModelError):
            read_state(path)
        with pytest.raises(ModelError, match=r"labels file .* cannot be read"):
            labels_of(path, 3)
