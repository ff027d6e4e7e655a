from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vidcam.errors import ModelError
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
    assert read_state(tmp_path / "w.safetensors")["weight"].dtype == torch.float32


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
