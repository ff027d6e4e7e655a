from __future__ import annotations

import argparse
import pickle
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.pickled import load_pickled
from vidcam.models.weights import load_into, read_state


def _pickle_in_a_zip(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED, times: int = 1) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for _ in range(times):
            archive.writestr("w/data.pkl", pickled)
        archive.writestr("w/version", b"3\n")
        archive.writestr("w/byteorder", b"little")
        archive.writestr("w/data/0", bytes(4))


def _global(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _storage(length: int, kind: str = "torch FloatStorage") -> bytes:
    """The operations that refer to a storage."""
    return (
        b"(X\x07\0\0\0storage" + _global(kind) + b"X\x01\0\0\x000X\x03\0\0\0cpu"
        b"\x8a\x08" + struct.pack("<q", length) + b"tQ"
    )  # fmt: skip


def _tensor(length: int, shape: int, stride: int = 1) -> bytes:
    """A state dict of one tensor, `w`, as its pickle."""
    number = b"\x8a\x08" + struct.pack("<q", shape)
    strides = b"\x8a\x08" + struct.pack("<q", stride)
    arguments = b"(" + _storage(length) + b"K\0" + number + b"\x85" + strides + b"\x85\x89" + _ordered_dict() + b"t"
    return b"\x80\x02}X\x01\0\0\0w" + _global("torch._utils _rebuild_tensor_v2") + arguments + b"Rs."


def _ordered_dict() -> bytes:
    return _global("collections OrderedDict") + b")R"


def _nested_tuples(levels: int) -> bytes:
    """A dict whose key is a tuple of twice a tuple of twice a tuple ...: 2^levels values to hash."""
    return b"\x80\x02}" + b"K\x01" + b"".join(b"q\0h\x00\x86" for _ in range(levels)) + b"K\x01s."


PROGRAMS = {
    "a good one": (_tensor(1, 1), None),
    "a tensor larger than its storage": (_tensor(1, 10**9), "w of shape .* is not backed"),
    "a tensor of one number, repeated": (_tensor(1, 10**12, 0), "w of shape .* is not backed"),
    "strides that lead out of the storage": (_tensor(1, 1, -1), "not numbers from 0 on"),
    "a storage larger than the file": (
        _tensor(10**12, 1),
        "the storage 0 of 4,000,000,000,000 bytes is not in the file",
    ),
    "a storage of less than nothing": (_tensor(-1, 0), "is not in the file"),
    "a large array of bytes": (b"\x80\x02" + _global("builtins bytearray") + b"J\xff\xff\xff\x7f\x85R.", "bytearray"),
    "a large tensor": (b"\x80\x02" + _global("torch Tensor") + b"J\xff\xff\xff\x7f\x85R.", "torch.Tensor"),
    "nested tuples": (_nested_tuples(60), "tuples nested too deeply"),
    "a few lists too many": (b"\x80\x02" + b"]" * 5_000_000 + b".", "of the tensors has 5,000,003 bytes"),
    "an empty stack": (b"\x80\x02t.", "cannot be read"),
    "no memo": (b"\x80\x02h\x05.", "cannot be read"),
    "no end": (b"\x80\x02}", "cannot be read"),
    "a string beyond its end": (b"\x80\x02X\xff\xff\xff\xffa.", "cannot be read"),
    "another storage": (b"\x80\x02" + _storage(1, "torch QInt8Storage") + b".", "QInt8Storage"),
    "a state for a tensor": (_tensor(1, 1)[:-2] + b"(K\x01tbs.", "changes a value"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_pickles_that_claim_what_is_not_there(tmp_path: Path, name: str) -> None:
    program, message = PROGRAMS[name]
    _pickle_in_a_zip(tmp_path / "w.pth", program)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    if message is None:
        assert read_state(tmp_path / "w.pth")["w"].tolist() == [0]
    else:
        with pytest.raises(ModelError, match=message):
            read_state(tmp_path / "w.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    assert time.perf_counter() - began < 10


def _older(path: Path, program: bytes) -> None:
    """A file of torch before 1.6: pickles, the keys of the storages, and one storage of a zero."""
    torch.save({"w": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    start = whole.index(b"\x80\x02}q\x00X\x01\0\0\0w")
    path.write_bytes(whole[:start] + program + b"\x80\x02]X\x01\0\0\x000a." + struct.pack("<qf", 1, 0))


@pytest.mark.parametrize("name", [n for n in PROGRAMS if "too many" not in n])
def test_the_same_in_an_older_file(tmp_path: Path, name: str) -> None:
    program, message = PROGRAMS[name]
    _older(tmp_path / "w.pth", program.replace(b"tQ", b"NtQ"))  # a storage may be a part of another
    if message is None:
        assert read_state(tmp_path / "w.pth")["w"].tolist() == [0]
    else:
        with pytest.raises(ModelError, match="it claims" if name == "a storage larger than the file" else message):
            read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "tensor",
    [
        lambda: torch.zeros(1).expand(10**12),
        lambda: torch.zeros(1).expand(10**9),
        lambda: torch.zeros(3, 3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        lambda: torch.zeros(3, dtype=torch.complex64),
        lambda: torch.zeros(3).to(torch.float8_e5m2),
        lambda: torch.zeros(3, device="meta"),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    ],
    ids=["10^12", "10^9", "sparse", "quantized", "complex", "float8", "meta", "nested"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_plain_numbers(tmp_path: Path, tensor: Callable[[], torch.Tensor], zipped: bool) -> None:
    torch.save({"w": tensor()}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"w\.pth"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_as_training_code_writes_them(tmp_path: Path, zipped: bool) -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4))
    stored = {
        "state_dict": {**dict(network.named_parameters()), **dict(network.named_buffers())},
        "optimizer": torch.optim.Adam(network.parameters()).state_dict(),
        "meta": {"a": (1, 2.5, None, True, "é"), 3: [2**70, {}], "size": torch.Size([3, 4]), "dtype": torch.float32},
        "view": torch.arange(10.0)[2:5],
        "turned": torch.zeros(3, 4).T,
    }
    torch.save(stored, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    other = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4))
    load_into(other, read_state(tmp_path / "w.pth"), "weights")
    assert torch.equal(other[0].weight, network[0].weight)


def test_a_zip_that_inflates_or_holds_a_name_twice(tmp_path: Path) -> None:
    _pickle_in_a_zip(tmp_path / "w.pth", _tensor(1, 1), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="is compressed"):
        read_state(tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="Duplicate"):
        _pickle_in_a_zip(tmp_path / "w.pth", _tensor(1, 1), times=2)
    with pytest.raises(ModelError, match="a name appears twice"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_stands_beside_the_parameters_does_no_harm(tmp_path: Path, zipped: bool) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    beside = {
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 4]).state_dict(),  # holds a Counter
        "tags": {"a", "b"},
        "gain": 1 + 2j,
        "losses": tuple(range(20_000)),
        "phase": torch.ones(2, dtype=torch.complex64),
    }
    if zipped:  # torch cannot read such a storage back from an older file
        beside["ids"] = torch.ones(2, dtype=torch.uint16)
    path = tmp_path / "model.pt"
    torch.save({"state_dict": network.state_dict(), **beside}, path, _use_new_zipfile_serialization=zipped)
    assert set(read_state(path)) == {"weight", "bias"}


def test_other_protocols_of_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(3, 2).state_dict(), path, pickle_protocol=3, _use_new_zipfile_serialization=False)
    assert set(read_state(path)) == {"weight", "bias"}
    torch.save(nn.Linear(3, 2).state_dict(), path, pickle_protocol=4)
    with pytest.raises(ModelError, match=r"it has pickle protocol 4; save it with the protocol of torch\.save, 2"):
        read_state(path)


BESIDE = {
    "arguments": lambda: argparse.Namespace(lr=0.1, out=PosixPath("/runs/1"), nested=argparse.Namespace(best=None)),
    "path": lambda: PosixPath("/runs/1"),
    "float64": lambda: np.float64(0.7),
    "float32": lambda: np.float32(0.7),
    "int64": lambda: np.int64(7),
    "bool": lambda: np.bool_(True),
    "array": lambda: np.arange(6.0).reshape(2, 3),
    "dtype": lambda: np.dtype("float32"),
    "bytes": lambda: b"abc",
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", BESIDE)
def test_harmless_objects_beside_the_parameters_are_passed_over(tmp_path: Path, name: str, zipped: bool) -> None:
    before = set(torch.serialization.get_safe_globals())
    stored = {"model": {"weight": torch.arange(6.0).view(2, 3)}, "epoch": 3, "beside": BESIDE[name]()}
    torch.save(stored, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_state(tmp_path / "w.pth")["weight"], stored["model"]["weight"])
    loaded: Any = load_pickled(tmp_path / "w.pth")
    assert not isinstance(loaded["beside"], argparse.Namespace | PosixPath | np.generic | np.ndarray)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    "program",
    [
        b"c" + name.replace(".", "\n", 1).encode() + b"\n" + make
        for name in ("os.system", "builtins.eval", "torch.load")
        for make in (b"X\x01\0\0\0a\x85R", b"X\x01\0\0\0a\x85\x81")
    ],
)
def test_calls_of_other_functions_are_refused_by_name(tmp_path: Path, program: bytes) -> None:
    _pickle_in_a_zip(tmp_path / "w.pth", b"\x80\x02" + program + b".")
    name = program[1:].split(b"\n")[0].decode() + "." + program.split(b"\n")[1].decode()
    with pytest.raises(ModelError, match=f"it holds a {name}, which is code"):
        read_state(tmp_path / "w.pth")


def test_an_object_of_an_inert_class_is_not_made_by_another_operation(tmp_path: Path) -> None:
    _pickle_in_a_zip(tmp_path / "w.pth", b"\x80\x02" + _global("collections OrderedDict") + b")\x81.")
    with pytest.raises(ModelError, match="makes an object of a class"):
        read_state(tmp_path / "w.pth")


class Configuration:
    """A class of a training script, of a long name."""


def test_a_refusal_names_the_class_whole_and_repeats_no_advice_of_torch(tmp_path: Path) -> None:
    Configuration.__qualname__ = Configuration.__name__ = name = "Configuration" * 12
    globals()[name] = Configuration
    torch.save({"model": {"w": torch.zeros(1)}, "cfg": Configuration()}, tmp_path / "w.pth")
    with pytest.raises(ModelError) as caught:
        read_state(tmp_path / "w.pth")
    assert f"{__name__}.{name}" in str(caught.value) and "save network.state_dict() alone" in str(caught.value)
    assert "weights_only" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_the_reason_of_torch_is_given_without_its_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise pickle.UnpicklingError(
            "Weights only load failed. \x1b[1mset `weights_only` to False\x1b[0m\n"
            "Please file an issue: WeightsUnpickler error: Unsupported operand 149\n\nCheck the documentation"
        )

    torch.save({"w": torch.zeros(1)}, tmp_path / "w.pth")
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ModelError) as caught:
        read_state(tmp_path / "w.pth")
    assert "(Unsupported operand 149)" in str(caught.value) and "weights_only" not in str(caught.value)
