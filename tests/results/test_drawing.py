from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pytest

from vidcam.errors import SettingsError
from vidcam.recipe import Recipe
from vidcam.results.drawing import COLORMAPS, FORMATS, STYLES, Drawing


@pytest.mark.parametrize("name", COLORMAPS)
def test_colour_maps_rise_evenly_in_lightness(name: str) -> None:
    colours = matplotlib.colormaps[name](np.arange(256))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(np.maximum(linear @ [0.2126, 0.7152, 0.0722], 0.008856)) - 16  # CIE L*
    steps = np.diff(lightness[::15])
    assert len(COLORMAPS) >= 5 and (steps > -0.5).all() and lightness[-1] - lightness[0] > 60


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"colormap": "jet"}, "there is no colormap 'jet'; choose one of inferno"),
        ({"style": "heatmap"}, "there is no style 'heatmap'; choose one of overlay, heat, contours, side-by-side"),
        ({"opacity": 1.5}, "opacity is 1.5; give a number from 0 to 1"),
        ({"opacity_power": 0.0}, "opacity_power is 0.0; give a number from 0.1 to 10"),
        ({"format": "gif,avi"}, "there is no format 'avi'; choose one of mp4, webm, gif, webp, png"),
        ({"film_width": 10}, "film_width is 10; give a whole number from 64 to 8192"),
        ({"film_rate": float("nan")}, "film_rate is nan; give a number from 0.1 to 120"),
    ],
)
def test_a_wrong_setting_is_refused_by_drawing_and_recipe_alike(setting: dict[str, Any], message: str) -> None:
    for kind in (Drawing, Recipe):
        with pytest.raises(SettingsError, match=message):
            kind(**setting)


@pytest.mark.parametrize(
    "setting", [{"opacity": "1"}, {"film_width": 100.5}, {"format": None}, {"highlights": 1}, {"opacity": True}]
)
def test_a_setting_of_a_wrong_type_is_refused(setting: dict[str, Any]) -> None:
    for kind in (Drawing, Recipe):
        with pytest.raises(SettingsError):
            kind(**setting)


def test_formats_are_named_once_in_their_order() -> None:
    assert Drawing(format="gif, png,gif").formats == ("gif", "png")
    assert Drawing(format=",".join(FORMATS)).formats == FORMATS and len(STYLES) == 4
