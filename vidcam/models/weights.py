"""Checkpoints: reading them without running code, and fitting them to a network."""

from __future__ import annotations

import pickle  # nosec B403
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vidcam.errors import ModelError

State = Mapping[str, Tensor]

NEED_NO_DOWNLOAD = "The bundled networks playground-r2plus1d and playground-c3d need no download"

_WRAPPERS = ("module.", "model.", "_orig_mod.")


def read_state(path: Path) -> State:
    """The parameters in a .safetensors, .pth, .pt or .pickle file; code in a pickle is never run.

    Raises:
        ModelError: the file is missing, damaged, would have to run code, or holds no parameters.
    """
    if not path.is_file():
        raise ModelError(
            f"weights file {path} does not exist; give a .pth, .pt or .safetensors file, or default, or none"
        )
    try:
        if path.suffix == ".safetensors":
            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # Of pickle only its error is used: nothing is unpickled here.
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"weights file {path} cannot be read as plain parameters ({reason}); "
            "give a complete file with a state dict of tensors, saved by torch.save or safetensors"
        ) from error
    for wrapper in ("state_dict", "model", "model_state"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not any(isinstance(v, Tensor) for v in loaded.values()):
        raise ModelError(
            f"weights file {path} holds a {type(loaded).__name__}, not a state dict of tensors; give one that does"
        )
    state = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def without_wrapper(state: State) -> State:
    """A checkpoint without the prefix that training code put before every name: "module.", "model." and the like."""
    for wrapper in _WRAPPERS:
        if state and all(name.startswith(wrapper) for name in state):
            return without_wrapper({name.removeprefix(wrapper): value for name, value in state.items()})
    return state


def classes_in(state: State, network: nn.Module, path: Path) -> int:
    """How many classes the classifier of a checkpoint has: the last matrix of the network it is for.

    Raises:
        ModelError: the checkpoint has no such parameter.
    """
    classifier = [name for name, value in network.named_parameters() if value.ndim >= 2][-1]
    if classifier not in state:
        raise ModelError(
            f"weights file {path} has no classifier ({classifier} is missing; it holds {_few(sorted(state))}); "
            "such a file can give features, but a class can be explained only by a network with a classifier: "
            "give a complete checkpoint of this model"
        )
    return int(state[classifier].shape[0])


def load_into(network: nn.Module, state: State, what: str) -> None:
    """Copy a checkpoint into a network, exactly.

    Raises:
        ModelError: keys are missing or unexpected, or shapes differ; five of each are named.
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
    if missing or unexpected or other:
        parts = [
            f"{len(names)} {kind}: {_few(names)}"
            for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
            if names
        ]
        raise ModelError(f"{what} do not fit the network: {'; '.join(parts)}; give a checkpoint of this model")
    network.load_state_dict(state, strict=False)


def downloaded_to(name: str, url: str, publisher: str, error: Exception) -> ModelError:
    """The error for published weights that are not in torch's cache and cannot be downloaded."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    reason = getattr(error, "reason", None) or error
    return ModelError(
        f"the weights of {name} cannot be downloaded ({reason}); fetch {url} (published by {publisher}), "
        f"put it at {file} and run again, or pass --weights FILE. "
        f"{NEED_NO_DOWNLOAD}"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
