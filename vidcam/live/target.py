"""Target of a live run: what of a recipe and a target fits a stream."""

from __future__ import annotations

from collections.abc import Sequence

from vidcam.cam.targets import InTime, Target, target_of, top_count
from vidcam.engine.attribution import Key
from vidcam.errors import LayerError, SettingsError, TargetError
from vidcam.models.registry import Model
from vidcam.recipe import Recipe
from vidcam.results.drawing import Drawing


def check_recipe(recipe: Recipe, layers: Sequence[str], methods: Sequence[str]) -> None:
    """Check that a recipe fits a stream.

    Args:
        recipe: the recipe.
        layers, methods: of it.

    Raises:
        LayerError: there are several layers.
        SettingsError: there are several methods, or a setting is for whole clips.
    """
    if len(layers) > 1:
        raise LayerError(f"{len(layers)} layers are given ({', '.join(layers)}); give one with --layer")
    if len(methods) > 1:
        raise SettingsError(f"{len(methods)} methods are given ({', '.join(methods)}); a stream has one")
    if not layers:
        raise SettingsError(
            f"method {methods[0]} explains the network at its input, in hundreds of passes; give a method at a layer for a stream"
        )
    if recipe.dense or recipe.check or recipe.splits:
        raise SettingsError("dense, check, motion and appearance are for clips; leave them out for a stream")
    drawing = recipe.drawing
    colours = Drawing(drawing.colormap, drawing.opacity, drawing.opacity_power, drawing.style)
    if drawing != colours or drawing.style not in ("overlay", "heat"):
        raise SettingsError(
            "a stream is drawn in style overlay or heat, with colormap and opacity; leave out format, film_width, film_rate, "
            "highlights and other styles"
        )
    if recipe.factor == "exp":
        raise SettingsError(
            "factor exp is relative to the highest score of the whole clip, which a stream has not seen; give probability "
            "or none"
        )


def live_target(target: Target, model: Model) -> tuple[Key | None, str]:
    """Return the key and the label of a target of a stream; None and "" for the class that is shown.

    Args:
        target: as for `vidcam.explain`.
        model: the network.

    Raises:
        TargetError: it is several classes, has a time, or is none of the network's.
    """
    count = None if target in model.labels else top_count(target)
    if count == 1:
        return None, ""
    if count is not None:
        raise TargetError(f"target {target!r} is several classes, and a stream shows one; give top or a class")
    key = target_of(target, model.labels, model.spec.class_scores)
    if isinstance(key, InTime):
        raise TargetError(f"target {target!r} has a time, and a stream is explained at every time; leave it out")
    if isinstance(key, int):
        return key, model.labels[key]
    return key, str(getattr(key, "label", getattr(key, "__name__", "function")))
