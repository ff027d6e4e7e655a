"""Fit of a recipe to a network: the methods and layers that it means there, and the settings that do not go together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch

from vidcam.cam.input_methods import INPUT_METHODS, check_installed
from vidcam.cam.layers import SpaceTimeLayer, space_time_layers
from vidcam.cam.methods import method_named, needs
from vidcam.errors import LayerError, SettingsError
from vidcam.models.registry import Model, ModelSpec, softmax
from vidcam.recipe import Recipe


def layers_of(model: Model) -> dict[str, SpaceTimeLayer]:
    """Return the layers of a network that can be explained by name, in the order they are called."""
    return space_time_layers(model.network, model.spec.pack(model.blank_window), model.spec.layout, model.spec.frames)


def layer_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of `layers_of` a network, found without weights and without arithmetic, from shapes alone.

    None for a network that cannot be built so: its code looks at values.

    Example:
        >>> from vidcam.models.registry import spec_named
        >>> layer_names(spec_named("playground-c3d"))[:3]
        ('conv1', 'relu1', 'pool1')
    """
    with torch.device("meta"), suppress(RuntimeError, TypeError):
        return tuple(layers_of(Model(spec.build(spec.num_classes).eval(), spec, (), "none")))
    return ()


def chosen_methods(recipe: Recipe, spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of a recipe's methods, "auto" being the network's default."""
    names = (name.strip() for name in recipe.method.split(","))
    return tuple(dict.fromkeys(spec.default_method if name == "auto" else name for name in names))


def chosen_layers(recipe: Recipe, model: Model, methods: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a recipe's layers, "auto" being the network's default; none if all methods are at the input.

    Raises:
        LayerError: the network has no such layer, or the methods explain none.
        SettingsError: the default layers of the methods differ.
    """
    layer = recipe.layer
    at_layers = [method for method in methods if method not in INPUT_METHODS]
    if not at_layers:
        if layer != "auto":
            raise LayerError(
                f"{methods[0]} explains the network at its input, and layer {layer} is given; leave it out"
            )
        return ()
    if not model.spec.layer:
        raise LayerError(
            f"{model.spec.name} is seen from outside and has no layers, and {at_layers[0]} explains one; give a method at "
            f"the input: {', '.join(INPUT_METHODS)}"
        )
    if layer == "auto":
        layer = _default_layer(model.spec, at_layers)
    names = [name.strip() for name in layer.split(",")]
    modules = dict(model.network.named_modules())
    if unknown := [name for name in names if not name or name not in modules]:
        raise LayerError(
            f"{model.spec.name} has no layer {unknown[0]!r}; its space-time layers are {', '.join(layers_of(model))}"
        )
    return tuple(dict.fromkeys(names))


def _default_layer(spec: ModelSpec, methods: Sequence[str]) -> str:
    of_methods = {method: spec.layer_for(method) for method in methods}
    if len(set(of_methods.values())) > 1:
        defaults = ", ".join(f"{layer} for {method}" for method, layer in of_methods.items())
        raise SettingsError(f"the default layers of {spec.name} differ: {defaults}; give one of them as layer")
    return of_methods[methods[0]]


def check_fit(recipe: Recipe, spec: ModelSpec, layers: Sequence[str], methods: Sequence[str]) -> None:
    """Check that a recipe's settings go together for a network.

    Args:
        recipe: the recipe.
        spec: of the network.
        layers, methods: that the recipe means there.

    Raises:
        LayerError: there are several layers where one is needed.
        SettingsError: two settings do not go together, one applies to no method, or a package is missing.
    """
    _check_input_methods(recipe, layers, methods)
    if "gradcam++softmax" in methods and spec.probabilities is not softmax:
        raise SettingsError(
            f"gradcam++softmax explains the softmax of all scores, and the probabilities of {spec.name} are none; choose "
            "another method"
        )
    if recipe.dense:
        _check_dense(recipe, spec, layers, methods)
    if recipe.splits and len(layers) > 1:
        raise LayerError(
            f"evidence {recipe.evidence} is of one layer, and {', '.join(layers)} are given; give one with --layer"
        )


def _check_input_methods(recipe: Recipe, layers: Sequence[str], methods: Sequence[str]) -> None:
    at_input = [method for method in methods if method in INPUT_METHODS]
    uses = {
        "absent": recipe.check or any(method != "smoothgrad" for method in at_input),
        "passes": bool(at_input),
        "stretches": "shapley" in at_input,
    }
    for method in at_input:
        check_installed(method)
    given = {name: getattr(recipe, name) for name in uses}
    if unused := [n for n, value in given.items() if value != Recipe.model_fields[n].default and not uses[n]]:
        raise SettingsError(
            f"{unused[0]} {given[unused[0]]} applies to none of the methods ({', '.join(methods)}); leave it out, or choose "
            "another method"
        )
    if at_input and recipe.dtype not in ("auto", "float32"):
        raise SettingsError(
            f"{at_input[0]} compares scores that differ little, in float32, and dtype {recipe.dtype} is given; leave it out"
        )
    if at_input and len(layers) > 1:
        raise LayerError(
            f"{at_input[0]} explains the network at its input, and layers are fused ({', '.join(layers)}); explain them one "
            "after the other"
        )


def _check_dense(recipe: Recipe, spec: ModelSpec, layers: Sequence[str], methods: Sequence[str]) -> None:
    if recipe.splits:
        raise SettingsError(
            f"dense runs long spans of frames, and evidence {recipe.evidence} needs windows that can be frozen; leave dense out"
        )
    if len(layers) > 1:
        raise LayerError(f"dense explains one layer, and {', '.join(layers)} are given; give one of them with --layer")
    if slow := [m for m in methods if m in INPUT_METHODS or "masked_scores" in needs(method_named(m))]:
        raise SettingsError(f"{slow[0]} runs the network anew on parts of a window; it cannot be had with dense")
    if spec.layout.frames_in_rows:
        raise SettingsError(
            f"dense runs {spec.name} on long spans of frames, and it takes the frames of one window as rows of its batch; "
            "leave dense out"
        )
    if spec.layout.grid is not None:
        raise SettingsError(
            f"dense runs {spec.name} on long spans of frames, and it has tokens for {spec.layout.grid[0]} steps in time; "
            "leave dense out"
        )
