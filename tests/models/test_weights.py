from __future__ import annotations

import json
import pickle
import resource
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.registry import labels_of, load_model
from vidcam.models.weights import classes_in, load_into, read_state, without_wrapper


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code in a checkpoint was run",)


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": {f"module.{k}": v for k, v in s.items()}}]
)
def test_wrapped_checkpoints(tmp_path: Path, wrap: object) -> None:
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save(wrap(network.state_dict()), tmp_path / "w.pth")  # type: ignore[operator]
    load_into(other, without_wrapper(read_state(tmp_path / "w.pth")), "weights")
    assert torch.equal(other.weight, network.weight)


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
    with pytest.raises(ModelError, match=r"has no classifier \(1.weight is missing"):
        classes_in({"0.weight": torch.zeros(7, 3)}, network, tmp_path)
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
