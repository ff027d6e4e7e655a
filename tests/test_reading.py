from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidcam.engine.attribution import Maps, WindowMap
from vidcam.explainer import Explainer, explain
from vidcam.models.registry import load_model
from vidcam.reading import Reading, _converged, most_probable
from vidcam.recipe import Recipe

PLACE = ("gradcam", "conv5")


def _window(heat: float, probability: float | None = None, raw: float = 0.0, **more: dict[str, float]) -> WindowMap:
    return WindowMap({PLACE: np.full((1, 2, 2), heat, np.float32)}, raw, probability, np.zeros(1), **more)  # type: ignore[arg-type]


def _reading(factor: str = "probability", values: bool = False) -> Reading:
    """A reading of a clip of 40 frames; its network is never run."""
    model = load_model("playground-c3d", "none")
    if values:
        model = replace(model, spec=replace(model.spec, probabilities=None))
    explainer = Explainer(model, Recipe(method="gradcam", dtype="float32", factor=factor, frame_rate=16))
    return explainer._reading(explainer.opened(np.zeros((40, 16, 16, 3), np.uint8)))


def test_classes_that_are_equally_probable_keep_their_order() -> None:
    assert most_probable(np.array([0.1, 0.4, 0.1, 0.4]), 3) == [1, 3, 0]
    assert most_probable(np.zeros(3), 9) == [0, 1, 2]


def test_heat_is_times_the_factor_and_nothing_where_a_window_has_no_map() -> None:
    maps: list[Maps] = [{1: _window(2.0, 0.5)}, {0: _window(7.0, 0.9)}, {1: _window(4.0, 0.25)}]
    assert [float(heat.max()) for heat in _reading().heat(PLACE, 1, maps)] == [1.0, 0.0, 1.0]
    assert [float(heat.max()) for heat in _reading("none").heat(PLACE, 1, maps)] == [2.0, 0.0, 4.0]


def test_the_papers_factor_is_of_the_scores_of_the_windows_that_have_a_map() -> None:
    maps: list[Maps] = [{1: _window(1.0, 0.1, raw=3.0)}, {}, {1: _window(1.0, 0.1, raw=3.0 - np.log(4))}]
    assert [float(heat.max()) for heat in _reading("exp").heat(PLACE, 1, maps)] == pytest.approx([1.0, 0.0, 0.25])


def test_a_target_without_a_probability_has_no_factor_of_it() -> None:
    maps: list[Maps] = [{1: _window(2.0, None)}, {1: _window(4.0, None)}]
    assert [float(heat.max()) for heat in _reading(values=True).heat(PLACE, 1, maps)] == [2.0, 4.0]


@pytest.mark.parametrize(
    ("format", "highlights", "said"), [("mp4,png", False, ""), ("gif,png,webm", True, "gif, webm, highlights")]
)
def test_a_picture_says_which_films_it_does_not_have(tmp_path: Path, format: str, highlights: bool, said: str) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    found = explain(
        tmp_path / "picture.png", load_model("playground-c3d", "none"), format=format, highlights=highlights
    )
    note = f"picture.png is a picture, of which no film is made; {said} left out"
    assert (note in found.warnings) == bool(said)
    assert any("no film" in warning for warning in found.warnings) == bool(said)


def test_convergence_is_a_mean_by_heat() -> None:
    windows = [_window(0.0, converged={"rise": share}) for share in (0.5, 0.9)] + [_window(0.0)]
    heats = [np.full((1, 1, 1), value) for value in (1.0, 3.0, 9.0)]
    assert _converged("rise", windows, heats) == pytest.approx((0.5 + 3 * 0.9) / 4)
    assert _converged("rise", windows, [0 * heat for heat in heats]) == pytest.approx(0.7), "without heat, a plain mean"
    assert _converged("occlusion", windows, heats) is None
