"""Checkpoints: read without running code, and loaded into a network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vidcam.errors import ModelError, counted
from vidcam.models.pickled import load_pickled
from vidcam.untrusted.files import open_regular
from vidcam.untrusted.text import fitted, one_line, shortened

State = Mapping[str, Tensor]

NEED_NO_DOWNLOAD = (
    "The bundled networks playground-r2plus1d and playground-c3d need no download, and know rendered clips only"
)

_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
}

_STATES = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights", "params")
_DEEPEST = 4  # dicts in dicts
_COUNTERS = ("total_ops", "total_params")  # which github.com/Lyken17/pytorch-OpCounter leaves in every module
_NORMS = {"weight_g": "weight_v", "parametrizations.weight.original0": "parametrizations.weight.original1"}
_MOST_WRAPPERS = 8  # parts of a prefix


class Checkpoint(NamedTuple):
    """Parameters in a file.

    Attributes:
        state: the parameters.
        note: names what the file holds besides, and is not used; "" if there is none.
    """

    state: State
    note: str


def read_state(path: Path) -> State:
    """Return the parameters in a file, see `read_checkpoint`."""
    return read_checkpoint(path).state


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the parameters in a .safetensors, .pth, .pt or .pickle file; code in a pickle is never run.

    The tensors may be pages of the file, in the type they are stored in; `load_into` copies and converts them.

    Raises:
        ModelError: the file is missing, damaged, would have to run code, claims more numbers than it holds, or holds
            no parameters.
    """
    if not path.is_file():
        raise ModelError(
            f"weights file {path} does not exist; give a .pth, .pt or .safetensors file, or default, or none"
        )
    try:
        loaded: object = _load_safetensors(path) if path.suffix == ".safetensors" else load_pickled(path)
    except Exception as error:  # on a damaged file torch and safetensors raise anything: IndexError, struct.error, ...
        reason = one_line(str(error)) or type(error).__name__
        raise ModelError(
            f"weights file {path} cannot be read as plain parameters ({reason}); "
            "give a complete file with a state dict of tensors, saved by torch.save or safetensors"
        ) from error
    stored, note = _unwrapped(loaded, path)
    if not _is_state(stored):
        if isinstance(stored, dict) and any(type(value).__module__.startswith("numpy") for value in stored.values()):
            raise ModelError(
                f"weights file {path} holds arrays of numpy, not tensors; make each a tensor by torch.from_numpy, and save "
                "those"
            )
        raise ModelError(
            f"weights file {path} holds a {type(stored).__name__}, not a state dict of tensors; give one that does"
        )
    state = {k: v for k, v in stored.items() if isinstance(k, str) and isinstance(v, Tensor)}
    for name, value in state.items():
        _check_plain(value, shortened(name), path)
    return Checkpoint(state, note)


def _unwrapped(loaded: object, path: Path) -> tuple[Any, str]:
    """Return the state dict in what a training script saved beside its optimizer and arguments, and a note on others.

    Raises:
        ModelError: there are several, and none has a usual name.
    """
    if not isinstance(loaded, dict):
        return loaded, ""
    if not any(_is_state(value) for value in (loaded, *loaded.values())):
        inner = {key: value for key, value in loaded.items() if isinstance(key, str) and _holds_state(value)}
        chosen = next((key for key in _STATES if key in inner), "")
        if len(inner) > 1 and not chosen:
            raise _several(sorted(inner), path)
        return _unwrapped(inner[chosen or next(iter(inner))], path) if inner else (loaded, "")
    found = [k for k, v in loaded.items() if _is_state(v) and (k in _STATES or any(_is_matrix(t) for t in v.values()))]
    usual = [key for key in _STATES if key in found]
    if not usual and any(_is_matrix(value) for value in loaded.values()):
        return loaded, ""
    if len(found) > 1 and not usual:
        raise _several([str(key) for key in found], path)
    if found:
        chosen = (usual or found)[0]
        others = [str(key) for key in found if key != chosen]
        note = f"of weights file {path} its {fitted(str(chosen), 120)} is used, not its {_few(others)}"
        return loaded[chosen], note if others else ""
    return loaded, ""


def _several(names: list[str], path: Path) -> ModelError:
    return ModelError(
        f"weights file {path} holds {len(names)} state dicts ({_few(names)}), none of them under a usual name; "
        "save the state dict of the network alone"
    )


def _holds_state(value: object, deepest: int = _DEEPEST) -> bool:
    """Return True if a dict, or one under a name in it, is a state dict; an optimizer's are under numbers."""
    if not deepest or not isinstance(value, dict):
        return False
    return _is_state(value) or any(isinstance(k, str) and _holds_state(v, deepest - 1) for k, v in value.items())


def _is_matrix(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim >= 2


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    open_regular(path).close()
    return load_file(path)


def _check_plain(value: Tensor, name: str, path: Path) -> None:
    """Check that a tensor holds numbers that can become float32, each of them in the file.

    Raises:
        ModelError: it is sparse, quantized, of complex or other numbers, or larger than its storage.
    """
    kind = str(value.dtype if value.layout is torch.strided else value.layout).removeprefix("torch.")
    if value.layout is not torch.strided or value.dtype not in _DTYPES or value.device.type != "cpu":
        raise ModelError(
            f"weights file {path}: {name} is {kind}, which no network of vidcam takes; "
            "save it as a dense tensor of float32"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ModelError(
            f"weights file {path}: {name} of shape {tuple(value.shape)} is not backed by its stored numbers; "
            "save it with .contiguous()"
        )


def fitted_to(
    network: nn.Module, checkpoint: Checkpoint, renamed: Callable[[State], State] = lambda state: state
) -> Checkpoint:
    """Return a checkpoint under the names of a network: without the prefix under which most of its tensors fit.

    A prefix comes from a wrapper of training code, such as "module." or "model."; tensors without it belong to others
    (a loss, a counter of averaged epochs, a second network). Of several copies the first in the file is taken. A classifier
    under another name is taken if it is the only tensor that is left, with the prefix or without it.

    Args:
        network: may be on the meta device.
        checkpoint: with the names of its publisher.
        renamed: returns a publisher's checkpoint under the network's names.
    """
    own, notes = network.state_dict(), [checkpoint.note]
    state = {k: v for k, v in checkpoint.state.items() if k in own or k.rpartition(".")[2] not in _COUNTERS}

    def fitting(part: State) -> int:
        return sum(name in own and own[name].shape == value.shape for name, value in part.items())

    parts = [(p, {k.removeprefix(p): v for k, v in state.items() if k.startswith(p)}) for p in _prefixes(state)]
    candidates = [(p, dict(renamed(part))) for p, part in parts]
    counts = [fitting(part) for _, part in candidates]
    most = max(counts)
    prefix, found = candidates[counts.index(most)]
    copies = [p for (p, _), count in zip(candidates, counts) if count == most]
    if len(copies) > 1 and most:
        under = " and ".join(fitted(p, 60) for p in copies)
        notes.append(
            f"of the weights, the network is there {len(copies)} times, under {under}; that under {fitted(prefix, 60)} is used"
        )
    _join_norms(found, own)
    others = {name: value for name, value in state.items() if not name.startswith(prefix)}
    whole = {**found, **others}
    if _head(whole, network):
        found, others = whole, {}
    if others:
        notes.append(
            f"of the weights, {counted(len(others), 'tensor')} outside the network left out: {_few(list(others))}"
        )
    classifier, head = _classifier(network), _head(found, network)
    if head:
        for parameter in ("weight", "bias"):
            if f"{head}.{parameter}" in found:
                found[f"{classifier}.{parameter}"] = found.pop(f"{head}.{parameter}")
        notes.append(f"of the weights, {fitted(head, 120)} is taken for the classifier {classifier}")
    return Checkpoint(found, "; ".join(filter(None, notes)))


def _join_norms(state: dict[str, Tensor], own: State) -> None:
    """Replace length and direction of a weight by the weight, where the network has it as one: w = g v / |v|.

    Salimans & Kingma 2016, arXiv 1602.07868, eq. 2; |v| is taken over the axes that the length g has one number for.
    """
    for length, direction in _NORMS.items():
        for name in [name for name in state if f".{name}".endswith(f".{length}")]:
            stem = name.removesuffix(length)
            if f"{stem}weight" not in own or f"{stem}{direction}" not in state:
                continue
            g, v = state.pop(name), state.pop(f"{stem}{direction}")
            axes = [axis for axis, n in enumerate(g.shape) if n == 1] if g.ndim == v.ndim else list(range(v.ndim))
            state[f"{stem}weight"] = g * v / v.norm(dim=axes, keepdim=True)


def _prefixes(state: State) -> list[str]:
    """Return the empty prefix, and those of at least a quarter of the names, in the order of the file."""
    dots = ((name, dot) for name in state for dot in islice(re.finditer(r"\.", name), _MOST_WRAPPERS))
    counts = Counter(name[: dot.end()] for name, dot in dots)
    return ["", *(p for p, count in counts.items() if 4 * count >= len(state))]


def _classifier(network: nn.Module) -> str:
    """Return the name of the module that holds the network's last matrix, or ""."""
    matrices = [name for name, value in network.named_parameters() if value.ndim >= 2]
    return matrices[-1].removesuffix(".weight") if matrices else ""


def _head(state: State, network: nn.Module) -> str:
    """Return the module of a checkpoint that can only be the classifier under another name, or ""."""
    own, name = network.state_dict(), f"{_classifier(network)}.weight"
    unknown = [k for k in state if k not in own]
    stems = {k.rpartition(".")[0] for k in unknown}
    if name in state or len(stems) != 1 or set(unknown) - {f"{s}.{p}" for s in stems for p in ("weight", "bias")}:
        return ""
    (stem,) = stems
    matrix = state.get(f"{stem}.weight")
    same = matrix is not None and name in own and matrix.shape[1:] == own[name].shape[1:]
    return stem if same else ""


def classes_in(state: State, network: nn.Module, path: Path) -> int:
    """Return the number of classes of a checkpoint: the rows of the network's last matrix, in the network if it has none.

    Args:
        state: the checkpoint, under the network's names.
        network: whose last matrix it is.
        path: of the checkpoint, for messages.

    Raises:
        ModelError: the matrix is empty.
    """
    classifier = f"{_classifier(network)}.weight"
    matrix = state.get(classifier, network.get_parameter(classifier))
    if matrix.numel() == 0:
        raise ModelError(
            f"weights file {path} has an empty classifier ({classifier} has shape {tuple(matrix.shape)}); "
            "give a complete checkpoint of this model"
        )
    return int(matrix.shape[0])


def load_into(network: nn.Module, state: State, what: str) -> None:
    """Copy a checkpoint into a network that has exactly its names and shapes; numbers take the network's dtype.

    Args:
        network: changed in place.
        state: the checkpoint.
        what: name of the checkpoint in messages.

    Raises:
        ModelError: keys are missing or unexpected, or shapes differ; five of each are named.
    """
    check_fit(network, state, what)
    network.load_state_dict(state, strict=False)


def check_fit(network: nn.Module, state: State, what: str, likeness: str = "") -> None:
    """Compare the names and shapes of a checkpoint with those of a network, which may be on the meta device.

    Args:
        network: whose names and shapes they are.
        state: the checkpoint.
        what: name of the checkpoint in messages.
        likeness: says what the checkpoint looks like, for messages, or "".

    Raises:
        ModelError: as by `load_into`.
    """
    own = network.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in optional]
    unexpected = [name for name in state if name not in own]
    other = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if not (missing or unexpected or other):
        return
    if not (unexpected or other) and {name.rpartition(".")[0] for name in missing} == {_classifier(network)}:
        raise ModelError(
            f"{what} have no classifier ({missing[0]} is missing; they hold {_few(sorted(state))}); "
            "such a file can give features, but a class can be explained only by a network with a classifier: "
            "give a complete checkpoint of this model"
        )
    fitting = [name for name, value in own.items() if name in state and state[name].shape == value.shape]
    parts = [
        f"{len(names)} {kind}: {_few(names)}"
        for kind, names in {
            "missing": missing,
            "unexpected": unexpected,
            "of another shape": other,
            "fitting": fitting,
        }.items()
        if names
    ]
    if not (unexpected or other) and 10 * len(missing) < len(own):
        raise ModelError(f"{what} are incomplete: {parts[0]}; all others fit; give a complete checkpoint of this model")
    advice = f"they look like {likeness}" if likeness else "give a checkpoint of this model"
    raise ModelError(f"{what} do not fit the network: {'; '.join(parts)}; {advice}")


def downloaded_to(name: str, url: str, publisher: str, error: Exception) -> ModelError:
    """Return the error for published weights that are not in torch's cache and cannot be downloaded."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    reason = getattr(error, "reason", None) or error
    return ModelError(
        f"the weights of {name} cannot be downloaded ({reason}); fetch {url} (published by {publisher}), "
        f"put it at {file} and run again, or give it as weights (--weights FILE). "
        f"{NEED_NO_DOWNLOAD}"
    )


def _few(names: list[str]) -> str:
    return ", ".join(fitted(name, 120) for name in names[:5]) + (", ..." if len(names) > 5 else "")
