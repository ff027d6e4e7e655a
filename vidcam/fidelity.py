"""Whether a quicker computation gives the same explanation, measured on the clip's first windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vidcam.attribution import Key, Maps, attribute
from vidcam.dense import DenseReading
from vidcam.errors import SettingsError
from vidcam.models.inference import prepared, quickest_dtype
from vidcam.models.registry import Model
from vidcam.reading import Batch, Reading, network_input

DTYPES = ("auto", "float32", "bfloat16", "float16")

SAME = 0.995
"""Correlation of maps from which on a shorter float is taken for the same."""

_FEW = 4  # windows of a clip for which preparing a network takes longer than it saves
_CHECKED = 2  # windows that are computed both densely and one by one


@dataclass(frozen=True)
class Agreement:
    """How far two computations agree on the same windows.

    Attributes:
        correlation: Pearson's, of their maps; the lowest over methods and layers.
        same_top: whether they have the same most probable class in every window.
    """

    correlation: float
    same_top: bool


Found = tuple[np.ndarray, list[Maps]]
"""What `attribute` gives: probabilities, and the maps of each window."""


def agreement(one: Found, other: Found) -> Agreement:
    """How far the maps of the same keys of the same windows agree in two ways of computing them.

    The maps of one method at one layer are compared all together, so that faint maps, of windows in which there is
    little to see, count as little as they do in the explanation.
    """
    (first, maps), (second, others) = one, other
    pairs: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for a, b in zip(maps, others, strict=True):
        for key in a:
            for place, heat in a[key].heat.items():
                pairs.setdefault(place, []).append((heat, b[key].heat[place]))
    lowest = min(correlation(*(np.stack(side) for side in zip(*found))) for found in pairs.values())
    return Agreement(lowest, bool((first.argmax(1) == second.argmax(1)).all()))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two maps of the same shape; where one of them is constant, 1 if both are, else 0."""
    x, y = (np.ravel(m).astype(np.float64) - np.mean(m, dtype=np.float64) for m in (a, b))
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y / norm) if norm > 0 else float(not x.any() and not y.any())


def quickened(reading: Reading, layers: Sequence[str], dtype: str = "auto") -> Model:
    """The model of a reading, prepared for inference and checked on that clip's first window.

    With "auto" the trunk computes in what this device is quick at if the explanation stays the same: the window's
    Grad-CAM++ maps must correlate by `SAME` or more with those of the network as it was, and the top class be the
    same. Otherwise it computes in float32 and the model's note says why. A dtype that is asked for is used, and the
    note says if the explanation does not stay the same. A model that was prepared already and, for "auto", a clip of
    few windows are left as they are. What a model was prepared to is kept with it, for its next clips, as long as
    its parameters stay what they are.

    Raises:
        SettingsError: there is no such dtype, or the network does not run in it.
    """
    model = reading.model
    if dtype not in DTYPES:
        raise SettingsError(f"there is no dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    windows = reading.clip.frames_announced / reading.windowing.stride
    if model.dtype or (dtype == "auto" and 0 < windows <= _FEW):
        return model
    settings = (tuple(layers), dtype)
    state = [(t.data_ptr(), t._version) for t in [*model.network.parameters(), *model.network.buffers()]]
    known, quick = model.ready.get(settings, (None, model))
    if known != state:
        quick = _quickened(reading, layers, dtype)
        model.ready[settings] = state, quick
    return quick


def shortest_dtype(reading: Reading, layers: Sequence[str]) -> str:
    """What "auto" computes in, however short the clip is: measured on its first window.

    For runs over many clips that all have to be computed alike, wherever they are.
    """
    return _quickened(reading, layers, "auto").dtype


def _quickened(reading: Reading, layers: Sequence[str], dtype: str) -> Model:
    model = reading.model
    frames = [w.frames for w in reading.first(1)]

    def found(model: Model, keys: Sequence[Sequence[Key]]) -> Found:
        batch = Batch([0], network_input(model, frames))
        return attribute(model, layers, ["gradcam++"], batch, lambda p: keys or [[int(p.argmax())]])

    plain = found(model, [])
    keys = [list(maps) for maps in plain[1]]
    reasons = []
    for tried in dict.fromkeys(
        [quickest_dtype(model.device), torch.float32] if dtype == "auto" else [getattr(torch, dtype)]
    ):
        name = str(tried).removeprefix("torch.")
        try:
            quick = prepared(model, tried, layers)
            same = agreement(plain, found(quick, keys))
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


def dense_agreement(
    reading: DenseReading, layers: Sequence[str], methods: Sequence[str], batch: Batch, dense: Found
) -> Agreement:
    """How far the maps of a clip's first dense batch agree with those window by window, on its first two windows."""
    probabilities, maps = dense[0][:_CHECKED], dense[1][:_CHECKED]
    windows = reading.first(_CHECKED)
    exact = Batch(batch.starts[:_CHECKED], network_input(reading.model, [w.frames for w in windows]))
    again = attribute(reading.model, layers, methods, exact, lambda p: [list(m) for m in maps])
    return agreement(again, (probabilities, maps))
