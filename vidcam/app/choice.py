"""Choice: the settings that a visitor chooses on the page, and the clips that come with vidcam."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vidcam.app.uploads import Refused
from vidcam.fit import layer_names
from vidcam.models.registry import spec_named
from vidcam.playground.demo import demo_clips
from vidcam.results.drawing import COLORMAPS

LONGEST = 200  # characters of a class and of a layer
BUNDLED = "playground-r2plus1d"
"""The network that is chosen for the samples."""


@dataclass(frozen=True)
class Choice:
    """The settings of an explanation.

    Attributes:
        model, target, method, layer, colormap: as for `vidcam.explain`; the target may also be "top5".
    """

    model: str
    target: str
    method: str
    layer: str
    colormap: str


def checked_choice(values: list[Any], models: Collection[str], methods: Collection[str]) -> Choice:
    """Return the choice that a request holds.

    Args:
        values: of the fields of `Choice`, in their order.
        models, methods: the names that the page offers.

    Raises:
        Refused: a value is not one that the page offers; the message is for the visitor.
    """
    model, target, method, layer, colormap = values
    if model is None:
        raise Refused(400, "Choose a network first.")
    if model not in models:
        raise Refused(400, "Choose a network of the list.")
    if method not in methods:
        raise Refused(400, "Choose a method of the list.")
    if colormap not in COLORMAPS:
        raise Refused(400, "Choose colours of the list.")
    for name, text in (("class", target), ("layer", layer)):
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST or not text.isprintable():
            raise Refused(400, f"A {name} has 1 to {LONGEST} characters.")
    return Choice(model, target, method, layer, colormap)


@cache
def layers(model: str) -> tuple[str, ...]:
    """Return the layers that are offered for a network, the last one first: stages and blocks, and not each part of a block.

    They are those that can be explained and are nested at most one level deeper than the default layer.
    """
    spec = spec_named(model)
    deepest = spec.layer.split(",")[0].count(".") + 1
    return tuple(name for name in reversed(layer_names(spec)) if name.count(".") <= deepest)


@cache
def samples() -> dict[str, Path]:
    """Return the clips that come with vidcam: name → path."""
    return {clip.stem: clip for clip in demo_clips()}
