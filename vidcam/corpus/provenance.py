"""Provenance of results: the versions of vidcam and its dependencies, and the network's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vidcam.untrusted.text import printable

if TYPE_CHECKING:
    from torch import nn

Provenance = dict[str, Any]
"""The versions by package, and the SHA-256 of the network's weights."""


def provenance(network: nn.Module) -> Provenance:
    """Return the installed versions, and the digest of the weights of a network as it was loaded."""
    from vidcam.engine.versions import versions

    return {"versions": versions(), "weights_sha256": weights_sha256(network)}


def weights_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of a network's parameters and buffers: their names, shapes, dtypes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:  # extra state of a module
            digest.update(f"{name} {value!r}\n".encode())
    return digest.hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the differences of two provenances as "name: old, now new; …", or "" if there are none.

    Example:
        >>> differences({"versions": {"vidcam": "0.1"}}, {"versions": {"vidcam": "0.2"}, "weights_sha256": "0a1b"})
        'vidcam: 0.1, now 0.2; weights: not recorded, now 0a1b'
    """
    old, new = _named(before), _named(now)
    names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    return "; ".join(f"{name}: {_short(old.get(name))}, now {_short(new.get(name))}" for name in names)


def _named(made_by: Mapping[str, Any]) -> dict[str, Any]:
    named = dict(made_by.get("versions") or {})
    return {**named, "weights": made_by["weights_sha256"]} if "weights_sha256" in made_by else named


def _short(value: Any) -> str:
    text = "not recorded" if value is None else str(value)
    return printable(text if len(text) < 64 else f"{text[:12]}…")
