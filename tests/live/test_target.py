from __future__ import annotations

import pytest

from vidcam.cam.targets import Contrast
from vidcam.errors import SettingsError, TargetError
from vidcam.live.target import check_recipe, live_target
from vidcam.models.registry import load_model
from vidcam.recipe import Recipe


def test_targets_of_a_stream() -> None:
    model = load_model("playground-r2plus1d", "none")
    waving = model.labels.index("waving")
    assert live_target("top", model) == (None, "")
    assert live_target("waving", model) == live_target(waving, model) == (waving, "waving")
    key, label = live_target("waving - bowing", model)
    assert isinstance(key, Contrast) and label == "waving - bowing"

    def own(output: object) -> object:
        return output

    assert live_target(own, model) == (own, "own")  # type: ignore[comparison-overlap, arg-type]
    with pytest.raises(TargetError, match="several classes"):
        live_target("top3", model)


def test_a_stream_takes_colours_and_no_film() -> None:
    check_recipe(Recipe(colormap="viridis", opacity=0.5, style="heat"), ["layer3"], ["gradcam"])
    for settings in ({"style": "contours"}, {"format": "gif"}, {"highlights": True}, {"film_width": 320}):
        with pytest.raises(SettingsError, match="drawn in style overlay or heat"):
            check_recipe(Recipe(**settings), ["layer3"], ["gradcam"])


def test_methods_that_take_hundreds_of_passes_are_refused() -> None:
    with pytest.raises(SettingsError, match="method rise explains the network at its input"):
        check_recipe(Recipe(method="rise"), [], ["rise"])
