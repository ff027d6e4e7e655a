"""Explanations of video action recognition: the evidence for a class, in space and in time."""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from vidcam.results import exporter as _exporter

__version__ = _version("vidcam")

if TYPE_CHECKING:
    from vidcam.cam.attribute import class_activation_map
    from vidcam.errors import VidcamError
    from vidcam.explainer import Explainer, explain, localize
    from vidcam.export.page import write_report
    from vidcam.models.own import own_model
    from vidcam.models.preprocess import Preprocess
    from vidcam.models.registry import load_model
    from vidcam.recipe import Recipe
    from vidcam.results.explanation import Explanation
    from vidcam.results.localization import Localization
    from vidcam.results.stored import load_explanation

_HOMES = {
    "Explainer": "vidcam.explainer",
    "Explanation": "vidcam.results.explanation",
    "Localization": "vidcam.results.localization",
    "Preprocess": "vidcam.models.preprocess",
    "Recipe": "vidcam.recipe",
    "VidcamError": "vidcam.errors",
    "class_activation_map": "vidcam.cam.attribute",
    "explain": "vidcam.explainer",
    "load_explanation": "vidcam.results.stored",
    "load_model": "vidcam.models.registry",
    "localize": "vidcam.explainer",
    "own_model": "vidcam.models.own",
    "write_report": "vidcam.export.page",
}

__all__ = [
    "Explainer",
    "Explanation",
    "Localization",
    "Preprocess",
    "Recipe",
    "VidcamError",
    "__version__",
    "class_activation_map",
    "explain",
    "load_explanation",
    "load_model",
    "localize",
    "own_model",
    "write_report",
]

_exporter.provider = lambda: _import_module("vidcam.export.results")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidcam' has no attribute {name!r}")
    return getattr(_import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
