"""Trial runs of a user's own network, which tell if it can be explained at its layers, and where its code raised an error."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from vidcam.cam.batches import fault_in_batches
from vidcam.cam.bypass import bypass
from vidcam.cam.layout import CHANNELS_FIRST, Layout
from vidcam.cam.order import better_layout, misplaced
from vidcam.errors import LayerError, ModelError, TargetError
from vidcam.models.registry import Model

OWN = "the user's own"
"""The source of a user's own network."""

_NOTED = 0.1  # share of the score that passes the layer by
_notes: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()  # by layers, so that each is tested once
_OURS = {__file__, str(Path(__file__).with_name("own.py"))}


def check_order(
    network: nn.Module, name: str, layers: str, window: Tensor, layout: Layout, pack: Callable[[Tensor], Any]
) -> None:
    """Raise a ModelError if the axes of a layer follow the window's time and space otherwise than the layout says."""
    for layer in layers.split(","):
        with suppress(LayerError):  # said when it is explained
            better = better_layout(network, layer.strip(), window, layout, pack)
            if better is not None:
                given = "of channels first" if layout.pattern is None else f"{layout.pattern!r}"
                grid = f" with grid {better.grid}" if better.grid else ""
                raise ModelError(
                    f"{name}: the output of layer {layer.strip()!r} does not follow the time and space of the window in the "
                    f"layout {given}, and does in {better.pattern!r}{grid}; give that layout, or another layer"
                )
            if fault := misplaced(network, layer.strip(), window, layout, pack):
                raise ModelError(f"{name}: {fault}")


def check_batches(
    network: nn.Module,
    name: str,
    layers: str,
    window: Tensor,
    layout: Layout,
    pack: Callable[[Tensor], Any],
    scores: Callable[[Any], Tensor] | None,
) -> None:
    """Raise a ModelError if the network gives a window other values beside another than alone, or does not take two."""
    for layer in layers.split(","):
        try:
            fault = fault_in_batches(network, layer.strip(), window, layout, pack, scores)
        except (LayerError, TargetError):  # said when it is explained
            continue
        except Exception as error:  # somebody else's code may raise anything
            raise ModelError(
                f"{name} runs on one window and not on a batch of two ({where_raised(error, type(network))}); "
                "let its first axis be the windows, however many they are"
            ) from error
        if fault:
            raise ModelError(f"{name}: {fault}")


def bypassed(
    network: nn.Module,
    layers: str,
    window: Tensor,
    pack: Callable[[Tensor], Any],
    scores: Callable[[Any], Tensor],
) -> str:
    """Return a message if a part of the scores does not pass through the layers that are explained; or ""."""
    names = [layer.strip() for layer in layers.split(",")]
    with suppress(LayerError, TargetError):  # said when it is explained
        share = bypass(network, names, window, pack, scores)
        if share > _NOTED:
            return (
                f"the score depends on more than layer {layers}: of its change between two windows of noise, a part of "
                f"{share:.2f} passes by the layer, and the map does not show it; choose a layer behind the place where the "
                "paths join, or one of each path, as in layer='a,b'"
            )
    return ""


def check_layers(model: Model, layers: Sequence[str]) -> str:
    """Test layers that are not the model's default, and return a message if a part of the scores passes them by; or "".

    Layers of channels first of a network that has a name have that order, and are not tested for it.

    Raises:
        ModelError: the axes of a layer follow the window's time and space otherwise than its layout says.
    """
    spec, names = model.spec, ",".join(layers)
    known = _notes.setdefault(model.network, {})
    if names in known:
        return known[names]
    window = model.blank_window
    if spec.source == OWN or spec.layout != CHANNELS_FIRST:
        check_order(model.network, spec.name, names, window, spec.layout, spec.pack)
    if not spec.unrecognised:
        known[names] = bypassed(model.network, names, window, spec.pack, spec.class_scores)
    return known.setdefault(names, "")


def where_raised(error: Exception, culprit: Any = None) -> str:
    """Return the error and the line of the user's code that raised it: the deepest in the culprit's file, or of all."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename not in _OURS and "importlib" not in f.filename]
    try:
        file = inspect.getsourcefile(culprit) if culprit is not None else None
    except TypeError:
        file = None
    in_file = [f for f in theirs if file is not None and Path(f.filename) == Path(file)]
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if not (in_file or theirs):
        return message
    line = (in_file or theirs)[-1]
    return f"{message}, at {line.filename}, line {line.lineno}: {line.line}"
