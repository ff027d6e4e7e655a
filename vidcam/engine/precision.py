"""Precision check: reduced precision in the trunk is accepted if it gives the same explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vidcam.engine.agreement import agreement
from vidcam.engine.attribution import Attributed, Attributor, Key
from vidcam.engine.loader import Batch, WindowLoader, network_input
from vidcam.errors import SettingsError
from vidcam.models.inference import observed, prepared, structure_of
from vidcam.models.probe import quickest_dtype
from vidcam.models.registry import Model

SAME = 0.995
"""Minimum correlation of maps at which reduced precision is accepted."""

_SUMMED = 1 << 26  # numbers of a tensor above which its sum takes too long
_FEW = 4  # windows of a clip for which optimizing a network takes longer than it saves


def optimized(model: Model, layers: Sequence[str], dtype: str, loader: WindowLoader) -> Model:
    """Return a copy of a model optimized for inference, checked on the first window of a loader.

    With "auto" the trunk computes in the dtype that is fastest on this device if the explanation stays the same: the
    window's Grad-CAM++ map must have a correlation of `SAME` or more with that of the original network, and the top
    class must be the same. Otherwise it computes in float32, and the model's note gives the reason. Any other dtype is
    used as given, and the note says if the explanation changes. The model itself is returned if it is optimized
    already or, for "auto", if the clip has few windows. A network that is not float32 is run as it is.

    The last copy is cached with its model until a parameter changes.

    Args:
        model: the original network.
        layers: names of the target layers.
        dtype: "auto", "float32", "bfloat16" or "float16".
        loader: of the clip.

    Raises:
        SettingsError: the network does not run in that dtype, or is in another one than float32.
    """
    if not model.dtype and model.float_dtype != torch.float32:
        return _as_it_is(model, dtype)
    windows = loader.source.frames_announced / loader.windowing.stride
    if model.dtype or (dtype == "auto" and 0 < windows <= _FEW):
        return model
    settings = (tuple(layers), dtype)
    state = _state(model.network)
    known = model.cache.get(settings)
    if known is None or known[0] != state:
        model.cache.clear()  # before the next copy is made, so that memory holds only one
        model.cache[settings] = state, _checked(model, layers, dtype, loader)
    return model.cache[settings][1]


def _as_it_is(model: Model, dtype: str) -> Model:
    """Return a model of another dtype than float32 with the name of its dtype."""
    own = str(model.float_dtype).removeprefix("torch.")
    if dtype not in ("auto", own):
        raise SettingsError(
            f"{model.spec.name} is in {own} and is run as it is; give dtype auto, or own_model network.float()"
        )
    return replace(model, dtype=own)


def _state(network: nn.Module) -> list[Any]:
    """Return what changes with a network's modules and parameters, also where these are changed through `.data`."""
    tensors = [*network.parameters(), *network.buffers()]
    sums = [float(tensor.detach().sum()) if tensor.numel() < _SUMMED else 0.0 for tensor in tensors]
    versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
    modules = [(name, id(module)) for name, module in network.named_modules()]
    return [modules, [tensor.data_ptr() for tensor in tensors], versions, sums]


def shortest_dtype(model: Model, layers: Sequence[str], loader: WindowLoader) -> str:
    """Return the dtype that "auto" computes in, "float32" or another, also for a clip of few windows.

    Used by runs over many clips that must all be computed in the same dtype, on every machine.
    """
    if model.float_dtype != torch.float32:
        return _as_it_is(model, "auto").dtype
    return _checked(model, layers, "auto", loader).dtype


def _checked(model: Model, layers: Sequence[str], dtype: str, loader: WindowLoader) -> Model:
    if model.spec.unrecognised:  # without classes there is no map to compare
        exact = replace(model, dtype="float32")
        return (
            exact
            if dtype in ("auto", "float32")
            else prepared(model, getattr(torch, dtype), structure_of(model, layers))
        )
    frames = [w.frames for w in loader.first(1)]

    def explained(model: Model, keys: Sequence[Sequence[Key]]) -> Attributed:
        batch = Batch([0], network_input(model, frames))
        return Attributor(model, layers, ["gradcam++"]).maps(batch, lambda p: keys or [[int(p.argmax())]])

    with observed(model, layers) as structure:
        plain = explained(model, [])
    keys = [list(maps) for maps in plain.maps]
    reasons = []
    for tried in dict.fromkeys(
        [quickest_dtype(model.device), torch.float32] if dtype == "auto" else [getattr(torch, dtype)]
    ):
        name = str(tried).removeprefix("torch.")
        try:
            quick = prepared(model, tried, structure)
            same = agreement(plain, explained(quick, keys))
        except Exception as error:  # somebody else's code may not take another dtype
            if dtype != "auto":
                raise SettingsError(
                    f"{model.spec.name} does not run in {name} ({type(error).__name__}: {error}); use auto"
                ) from error
            reasons.append(f"does not run in {name} ({type(error).__name__})")
            continue
        quick = replace(quick, fidelity=same.correlation)
        if same.correlation >= SAME and same.same_top:
            return _noted(quick, reasons)
        top = "" if same.same_top else " and its top class is another one"
        reasons.append(f"in {name} the first window's map correlates by {same.correlation:.4f} with float32's{top}")
        if dtype != "auto":
            return _noted(quick, reasons)
    return _noted(replace(model, dtype="float32"), reasons)


def _noted(model: Model, reasons: list[str]) -> Model:
    if not reasons:
        return model
    note = f"{model.spec.name} computes in {model.dtype}: {'; '.join(reasons)} ({SAME} is wanted)"
    return replace(model, note=f"{model.note}; {note}" if model.note else note)
