"""The methods that explain a network at its input, by name, beside those of `vidcam.cam.methods` at a layer."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from vidcam.cam.extremal import EXTREMAL_PASSES, extremal
from vidcam.cam.methods import METHODS
from vidcam.cam.perturbation import OCCLUSION_PASSES, RISE_PASSES, SHAPLEY_PASSES, occlusion, rise, shapley
from vidcam.cam.pixels import INTEGRATED_PASSES, SMOOTHGRAD_PASSES, integrated_gradients, smoothgrad
from vidcam.cam.scored import InputMap, ScoredWindows, captum
from vidcam.errors import SettingsError

INPUT = "input"
"""Name in place of a layer's for maps at the network's input."""

InputMethod = Callable[[ScoredWindows], InputMap]

INPUT_METHODS: dict[str, InputMethod] = {
    "rise": rise,
    "occlusion": occlusion,
    "shapley": shapley,
    "integrated-gradients": integrated_gradients,
    "smoothgrad": smoothgrad,
    "extremal": extremal,
}

PASSES: dict[str, int] = {
    "rise": RISE_PASSES,
    "occlusion": OCCLUSION_PASSES,
    "shapley": SHAPLEY_PASSES,
    "integrated-gradients": INTEGRATED_PASSES,
    "smoothgrad": SMOOTHGRAD_PASSES,
    "extremal": EXTREMAL_PASSES,
}
"""Most passes of each method for a window and target if none are given."""

_CAPTUM = ("occlusion", "integrated-gradients")  # computed by captum, whatever their parameters

METHOD_NAMES = (*METHODS, *INPUT_METHODS)
"""Names of all methods."""


def check_method(name: str) -> None:
    """Check that there is a method of a name.

    Raises:
        SettingsError: there is none.
    """
    if name not in METHOD_NAMES:
        raise SettingsError(f"there is no method {name!r}; choose one of {', '.join(METHOD_NAMES)}")


def check_installed(name: str) -> None:
    """Check that what a method needs is installed.

    Raises:
        SettingsError: it needs captum, which is not.
    """
    if name in _CAPTUM:
        captum()


def installed_methods() -> tuple[str, ...]:
    """Return the names of all methods, without those of captum where it is not installed."""
    return tuple(name for name in METHOD_NAMES if name not in _CAPTUM or find_spec("captum"))
