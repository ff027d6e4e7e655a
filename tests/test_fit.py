from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, nn

from vidcam.cam.layout import Layout
from vidcam.errors import LayerError, SettingsError
from vidcam.fit import check_fit, chosen_layers, chosen_methods, layer_names, layers_of
from vidcam.models.registry import Model, ModelSpec, load_model, spec_named
from vidcam.recipe import Recipe


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("playground-c3d", "none")


def test_methods_are_named_once_and_auto_is_the_networks_own(model: Model) -> None:
    assert chosen_methods(Recipe(method=" gradcam , auto,gradcam++,gradcam"), model.spec) == ("gradcam", "gradcam++")
    frames = replace(model.spec, scores="n t c")
    assert chosen_methods(Recipe(), frames) == ("gradcam++t",)
    assert chosen_methods(Recipe(), replace(frames, method="hirescam")) == ("hirescam",)


@pytest.mark.slow
def test_layers_are_named_once_and_methods_at_the_input_need_none(model: Model) -> None:
    first, second = list(layers_of(model))[:2]
    named = Recipe(layer=f" {second},{first} ,{second}")
    assert chosen_layers(named, model, ["gradcam"]) == (second, first)
    assert chosen_layers(Recipe(), model, ["rise", "gradcam"]) == (model.spec.layer,)
    assert chosen_layers(Recipe(), model, ["rise", "smoothgrad"]) == ()
    for wrong in (f"{first},,{second}", f"{first},tail"):
        with pytest.raises(LayerError, match=f"has no layer .*space-time layers are {first}, {second}"):
            chosen_layers(Recipe(layer=wrong), model, ["gradcam"])


def test_default_layers_of_the_methods_have_to_be_one(model: Model) -> None:
    tokens = replace(model, spec=replace(model.spec, tokens="tokens", layer="conv5"))
    with pytest.raises(SettingsError, match=r"differ: tokens for attnlrp, conv5 for gradcam; give one"):
        chosen_layers(Recipe(), tokens, ["attnlrp", "gradcam"])


GRID = Layout("n (t h w) c", grid=(8, 14, 14))
FRAMES_IN_ROWS = Layout("(n t) c h w")


@pytest.mark.parametrize(
    ("settings", "changes", "layers", "methods", "message"),
    [
        ({}, {"probabilities": None}, "a", "gradcam++softmax", "explains the softmax of all scores, and the probabil"),
        ({"dense": True}, {}, "a,b", "gradcam", "dense explains one layer, and a, b are given"),
        ({"dense": True}, {}, "", "rise", "rise runs the network anew on parts of a window"),
        ({"dense": True}, {}, "a", "gradcam,scorecam", "scorecam runs the network anew on parts of a window"),
        ({"dense": True}, {"layout": GRID}, "a", "gradcam", "it has tokens for 8 steps in time"),
        ({"dense": True}, {"layout": FRAMES_IN_ROWS}, "a", "gradcam", "takes the frames of one window as rows of its"),
        ({"dense": True, "evidence": "motion"}, {}, "a", "gradcam", "evidence motion needs windows that can be frozen"),
        ({"evidence": "motion"}, {}, "a,b", "gradcam", "evidence motion is of one layer, and a, b are given"),
        ({}, {}, "a,b", "gradcam,rise", r"rise explains the network at its input, and layers are fused \(a, b\)"),
        (
            {"dtype": "float16"},
            {},
            "",
            "rise",
            "rise compares scores that differ little, in float32, and dtype float16",
        ),
        ({"passes": 9}, {}, "a", "gradcam", r"passes 9 applies to none of the methods \(gradcam\)"),
        ({"stretches": 4}, {}, "", "rise", r"stretches 4 applies to none of the methods \(rise\)"),
        ({"absent": "grey"}, {}, "", "smoothgrad", r"absent grey applies to none of the methods \(smoothgrad\)"),
    ],
)
def test_settings_that_do_not_go_together(
    settings: dict[str, Any], changes: dict[str, Any], layers: str, methods: str, message: str
) -> None:
    spec = replace(spec_named("playground-c3d"), **changes)
    with pytest.raises((LayerError, SettingsError), match=message):
        check_fit(Recipe(**settings), spec, [name for name in layers.split(",") if name], methods.split(","))


@pytest.mark.parametrize(
    ("settings", "layers", "methods"),
    [
        ({"dense": True}, ["a"], ["gradcam++", "gradcam++softmax"]),
        ({"check": True, "absent": "grey"}, ["a"], ["gradcam"]),
        ({"absent": "grey", "passes": 9, "dtype": "float32"}, [], ["smoothgrad", "rise"]),
        ({"stretches": 4}, ["a"], ["gradcam", "shapley"]),
        ({"evidence": "motion,appearance"}, ["a"], ["gradcam"]),
    ],
)
def test_settings_that_go_together(settings: dict[str, Any], layers: list[str], methods: list[str]) -> None:
    spec: ModelSpec = spec_named("playground-c3d")
    check_fit(Recipe(**settings), spec, layers, methods)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["playground-c3d", "playground-gru", "playground-tubelet", "x3d_xs"])
def test_the_names_of_layers_need_no_arithmetic(name: str) -> None:
    assert layer_names(spec_named(name)) == tuple(layers_of(load_model(name, "none")))


class _Looking(nn.Module):
    def forward(self, windows: Tensor) -> Tensor:
        return windows if windows.sum().item() > 0 else -windows


def test_a_network_that_looks_at_values_has_no_names_of_layers_without_them() -> None:
    assert layer_names(replace(spec_named("playground-c3d"), build=lambda classes: _Looking())) == ()
