"""vidcam: why did the network see this action, where in the picture and when?"""

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

__version__ = _version("vidcam")

if TYPE_CHECKING:
    from vidcam.cam.attribute import class_activation_map
    from vidcam.errors import VidcamError
    from vidcam.explanation import Explanation, load_explanation
    from vidcam.localization import Localization, localize
    from vidcam.models.own import own_model
    from vidcam.models.preprocess import Preprocess
    from vidcam.models.registry import load_model
    from vidcam.pipeline import explain, explain_each
    from vidcam.report.page import write_report

_HOMES = {
    "Explanation": "vidcam.explanation",
    "VidcamError": "vidcam.errors",
    "class_activation_map": "vidcam.cam.attribute",
    "explain": "vidcam.pipeline",
    "explain_each": "vidcam.pipeline",
    "load_explanation": "vidcam.explanation",
    "Localization": "vidcam.localization",
    "localize": "vidcam.localization",
    "load_model": "vidcam.models.registry",
    "own_model": "vidcam.models.own",
    "Preprocess": "vidcam.models.preprocess",
    "write_report": "vidcam.report.page",
}

__all__ = [
    "Explanation",
    "Localization",
    "Preprocess",
    "VidcamError",
    "__version__",
    "class_activation_map",
    "explain",
    "explain_each",
    "load_explanation",
    "load_model",
    "localize",
    "own_model",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidcam' has no attribute {name!r}")
    return getattr(_import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
