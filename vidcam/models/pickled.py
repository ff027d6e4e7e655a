"""Checkpoints of `torch.save`, loaded only after the claims of the pickle are compared with the bytes of the file.

A pickle is a program. torch's own reader runs no code of the file, but builds what it describes: a storage of any size,
a tensor with strides of zero, nested tuples that take years to hash. Here the program is first read without being run.
"""

from __future__ import annotations

import mmap
import pickletools  # nosec B403
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError  # nosec B403
from typing import Any, BinaryIO, cast
from zipfile import ZipFile

import torch

from vidcam.errors import counted
from vidcam.untrusted.files import open_regular
from vidcam.untrusted.zips import check_stored, open_zip

_MOST_LISTED = 4 << 20  # bytes of the list of members
_MOST_PICKLED = 4 << 20  # bytes of data.pkl; a tensor takes about two hundred
_MOST_NESTED = 1_000_000  # values in a tuple and in the tuples in it
_MOST_OPERATIONS = 1_000_000

_ITEM_BYTES = {
    "BoolStorage": 1,
    "ByteStorage": 1,
    "CharStorage": 1,
    "ShortStorage": 2,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "IntStorage": 4,
    "FloatStorage": 4,
    "LongStorage": 8,
    "DoubleStorage": 8,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
    "UntypedStorage": 1,
}
_TENSORS = {"torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"}
_PARAMETER = "torch._utils _rebuild_parameter"
_DICT = "collections OrderedDict"
_INERT = {_DICT, "collections Counter", "builtins set", "__builtin__ set", "builtins complex", "__builtin__ complex"}
_PLAIN = {*_INERT, "torch Size", "torch device"}
_ENCODE = "_codecs encode"  # how protocol 2 writes bytes


class _Ignored:
    """Stands for an object beside the parameters, such as the arguments of a training script; holds nothing."""

    def __new__(cls, *arguments: object) -> _Ignored:
        """Return the stand-in, whatever the object is made of."""
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


_IGNORED = {  # as a pickle names them → stand-ins of these names, the only classes that torch is told to allow
    name: type(name.split(" ")[1], (_Ignored,), {"__module__": name.split(" ")[0]})
    for name in (
        "argparse Namespace",
        *(f"{module} {kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
        *(f"numpy.{core}.multiarray {name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "numpy dtype",
        "numpy ndarray",
        "mmengine.logging.history_buffer HistoryBuffer",
    )
}
_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # the first pickle of a file that is not a zip


def load_pickled(path: Path) -> object:
    """Return what `torch.save` wrote, using about as much memory as the file has bytes.

    A zip file is mapped, not read: its tensors are pages of the file until they are copied.

    Raises:
        Exception: of any kind, as by torch's reader: the file is damaged, or claims more than it holds.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        zipped = file.read(4) == b"PK\3\4"
        (_check_zip if zipped else _check_legacy)(file, size)
    try:
        with _allowed(list(_IGNORED.values())):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:  # torch's own message advises to read the file unsafely
        reason = re.search(r"WeightsUnpickler error: (.*)", str(error))
        raise ValueError(reason[1] if reason else "torch does not read it as plain values") from error


@contextmanager
def _allowed(classes: list[Any]) -> Iterator[None]:
    """Allow torch's reader to make objects of these classes, as `safe_globals` of torch 2.5 does."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(classes)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _check_zip(file: BinaryIO, size: int) -> None:
    with open_zip(file, _MOST_LISTED) as archive:
        members = archive.infolist()
        for member in members:
            check_stored(member, size)
        if sum(member.file_size for member in members) > size:
            raise ValueError("its members overlap")
        root = members[0].filename.partition("/")[0] if members else ""
        program = archive.getinfo(f"{root}/data.pkl")
        if program.file_size > _MOST_PICKLED:
            raise ValueError(
                f"its description of the tensors has {program.file_size:,} bytes, as if numbers lay in it that are no tensors; "
                "make arrays of numpy tensors by torch.from_numpy"
            )
        check_stored(program, _MOST_PICKLED)
        _Program(_stored(archive, root)).check(archive.read(f"{root}/data.pkl"))


def _stored(archive: ZipFile, root: str) -> dict[str, int]:
    start = f"{root}/data/"
    return {m.filename.removeprefix(start): m.file_size for m in archive.infolist() if m.filename.startswith(start)}


def _check_legacy(file: BinaryIO, size: int) -> None:
    """Check a file of four pickles (a number, the version, the system, the object), the keys, and the storages.

    Raises:
        ValueError: it claims more than it holds, or is damaged.
    """
    file.seek(0)
    if file.read(2) not in (b"\x80\x02", b"\x80\x03") or file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is neither a zip file nor a file of torch's older format")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        content.seek(2 + len(_MAGIC))
        _Program({}).check(content)
        _Program({}).check(content)
        program = _Program(None)
        program.check(content)
        if sum(program.claimed.values()) > size:
            raise ValueError(f"it claims {sum(program.claimed.values()):,} bytes of tensors and has {size:,} in all")
        _Program({}).check(content)


@dataclass
class _Tuple:
    items: list[Any]
    values: int


@dataclass
class _Name:
    name: str


@dataclass
class _Storage:
    length: int


class _Made:
    """A value that the program builds and that is not examined further."""


_MADE = _Made()


class _Program:
    """A pickle, read operation by operation on a stack of descriptions, without being run.

    Args:
        stored: bytes by storage key, or None if they are not known beforehand.
    """

    def __init__(self, stored: Mapping[str, int] | None) -> None:
        self.claimed: dict[Any, int] = {}
        self._stored = stored
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def check(self, content: bytes | mmap.mmap) -> None:
        """Read the program to its end.

        Raises:
            ValueError: it claims more than is stored, builds something other than tensors and plain values, or is
                damaged.
            IndexError, KeyError, TypeError: it is damaged.
        """
        start = 0 if isinstance(content, bytes) else content.tell()
        for number, (operation, argument, position) in enumerate(pickletools.genops(cast(Any, content))):
            if (position or 0) - start > _MOST_PICKLED or number > _MOST_OPERATIONS:
                raise ValueError("its description of the tensors is too long")
            self._follow(operation.name, argument)

    def _follow(self, operation: str, argument: Any) -> None:
        stack = self._stack
        match operation:
            case "PROTO":
                if argument > 3:
                    raise ValueError(f"it has pickle protocol {argument}; save it with the protocol of torch.save, 2")
            case "STOP":
                pass
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE":
                self._stack = self._below.pop()
                self._stack.append(_tuple(stack))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" | "EMPTY_TUPLE":
                count = int(operation[-1]) if operation != "EMPTY_TUPLE" else 0
                items = [stack.pop() for _ in range(count)][::-1]
                stack.append(_tuple(items))
            case "EMPTY_DICT" | "EMPTY_LIST":
                stack.append(_MADE)
            case "APPEND" | "BUILD":
                stack.pop()
                if not isinstance(stack[-1], _Made):
                    raise ValueError("it changes a value that is neither a list nor a dict")
            case "SETITEM":
                del stack[-2:]
            case "APPENDS" | "SETITEMS":
                self._stack = self._below.pop()
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_named(argument))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                if operation == "NEWOBJ" and not (isinstance(function, _Name) and function.name in _IGNORED):
                    raise ValueError("it makes an object of a class that is not one of a state dict")
                stack.append(self._made(function, arguments))
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument if argument is not None else operation == "NEWTRUE")
            case "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case _:
                raise ValueError(f"its pickle has the operation {operation}, which no state dict needs")

    def _storage(self, claim: Any) -> _Storage:
        match claim:
            case _Tuple(items=["storage", _Name(name=kind), str() | int() as key, _, int() as length, *view]):
                pass
            case _:
                raise ValueError("it refers to something other than a storage")
        kind = _of_torch(kind)
        if kind not in _ITEM_BYTES:
            raise ValueError(f"it has a {kind}; storages are {', '.join(_ITEM_BYTES)}")
        size = length * _ITEM_BYTES[kind]
        if length < 0 or (self._stored is not None and size > self._stored.get(str(key), -1)):
            raise ValueError(f"the storage {key} of {counted(size, 'byte')} is not in the file")
        self.claimed[key] = max(size, self.claimed.get(key, 0))
        match view:
            case [_Tuple(items=[_, int() as start, int() as viewed])]:
                if start < 0 or viewed < 0 or start + viewed > length:
                    raise ValueError(f"a part of the storage {key} lies outside it")
                return _Storage(viewed)
        return _Storage(length)

    def _made(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Name) or not isinstance(arguments, _Tuple):
            raise ValueError("it calls something that is not a function")
        match function.name, arguments.items:
            case name, [_Storage(length=length), int() as start, _Tuple() as shape, _Tuple() as strides, *_] if (
                name in _TENSORS
            ):
                length //= next((_item_bytes(a.name) for a in arguments.items[4:] if isinstance(a, _Name)), 1)
                self._check_backed(length, start, shape.items, strides.items)
                return _Name("tensor")
            case name, [_Name(name="tensor") as tensor, *_] if name == _PARAMETER:
                return tensor
            case name, [_Tuple() as shape] if name == "torch Size":
                return shape
            case name, [str(), "latin1"] if name == _ENCODE:
                return _MADE
            case name, _ if name in _IGNORED:
                return _MADE
            case name, _ if name in _PLAIN:
                return _MADE if name in _INERT else function
        raise ValueError(f"it calls {function.name.replace(' ', '.')} with other arguments than torch.save does")

    def _check_backed(self, length: int, start: int, shape: list[Any], strides: list[Any]) -> None:
        sizes = [n for n in [*shape, *strides, start] if isinstance(n, int) and n >= 0]
        if len(sizes) != 2 * len(shape) + 1:
            raise ValueError("it has a tensor whose shape or strides are not numbers from 0 on")
        count = prod(shape)
        end = start + sum((n - 1) * stride for n, stride in zip(shape, strides)) + 1 if count else 0
        if count > length or end > length:
            names = [value for values in [*self._below, self._stack] for value in values if isinstance(value, str)]
            raise ValueError(
                f"{names[-1] if names else 'a tensor'} of shape {tuple(shape)} is not backed by its {length:,} stored numbers"
            )


def _tuple(items: list[Any]) -> _Tuple:
    values = 1 + sum(item.values if isinstance(item, _Tuple) else 1 for item in items)
    if values > _MOST_NESTED:
        raise ValueError("it has tuples nested too deeply")
    return _Tuple(items, values)


def _item_bytes(name: str) -> int:
    """Return the bytes per number of the dtype that a tensor of untyped storage names; 1 for other names."""
    dtype = getattr(torch, _of_torch(name), None)
    return dtype.itemsize if isinstance(dtype, torch.dtype) else 1


def _of_torch(name: str) -> str:
    return name.removeprefix("torch ").removeprefix("torch.storage ")


def _named(argument: str) -> _Name:
    kind = _of_torch(argument)
    known = argument in {*_TENSORS, *_PLAIN, *_IGNORED, _PARAMETER, _ENCODE} or kind in _ITEM_BYTES
    if not known and not isinstance(getattr(torch, kind, None), torch.dtype):
        raise ValueError(
            f"it holds a {argument.replace(' ', '.')}, which is code or more than a plain tensor; "
            "save network.state_dict() alone"
        )
    return _Name(argument)
