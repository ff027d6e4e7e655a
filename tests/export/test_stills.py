from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.export.overlay import draw_heat
from vidcam.export.stills import stills_figure, strongest_frames
from vidcam.results.drawing import Drawing


def test_the_strongest_frames_are_apart_and_in_time() -> None:
    evidence = np.zeros(100, np.float32)
    evidence[[20, 21, 22, 50, 80]] = [3, 4, 3.5, 2, 0.9]
    found = explanation(np.ones((100, 2, 2)), evidence=evidence)
    assert strongest_frames(found) == [21, 50], "22 is beside 21, and 80 is weaker than a quarter"
    assert strongest_frames(found, 1) == [21]
    assert strongest_frames(explanation(np.zeros((9, 2, 2)))) == [4]


@pytest.mark.slow
def test_the_figure_shows_frames_times_scores_and_the_raw_end_of_the_colours() -> None:
    maps = np.zeros((40, 2, 2))
    maps[10, 0, 1], maps[30, 1, 0] = 2.0, 4.0
    found = explanation(
        maps,
        size=(60, 90),
        drawing=Drawing("viridis"),
        warnings=("m has random weights: its explanations mean nothing",),
    )
    pixels = {i: np.full((60, 90, 3), 40 + i, np.uint8) for i in strongest_frames(found)}
    figure = stills_figure(found, pixels)
    first, second, *_ = figure.axes
    assert [a.get_title() for a in (first, second)] == ["1.00 s, 0.256", "3.00 s, 0.769"]
    for axes, frame in ((first, 10), (second, 30)):
        (image,) = axes.get_images()
        np.testing.assert_array_equal(image.get_array(), draw_heat(pixels[frame], found, frame, 4.0))
    bar = figure.axes[-1]
    assert bar.get_ylabel() == "heat (raw)" and bar.get_ylim() == (0, 4)
    title = figure.get_suptitle()
    for text in ("RANDOM WEIGHTS", "a <b>, probability 0.500", "m · gradcam++ · l · clip.mp4"):
        assert text in title
    with BytesIO() as file:
        figure.savefig(file)
        picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
        assert picture.shape[1] == 2100, "7 inches at 300 dpi"
    hot = np.array(matplotlib.colormaps["viridis"](255, bytes=True)[:3], int)
    assert (np.abs(picture - (70 + 0.8 * (hot - 70))).max(2) < 6).sum() > 200, "the strongest heat at frame 30"


@pytest.mark.slow
def test_it_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [numbered(i, 96, 128) for i in range(8)])
    found = explanation(np.ones((8, 2, 2)), clip=clip, size=(96, 128), drawing=Drawing(format="mp4,png"))
    found.save(tmp_path / "out")
    with Image.open(tmp_path / "out" / "strongest.png") as picture:
        assert round(picture.info["dpi"][0]) == 300 and picture.width == 2100
