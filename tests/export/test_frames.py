from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, SettingsError
from vidcam.results.explanation import Explanation
from vidcam.video.reader import Clip

SIZE = (48, 64)


def _found(folder: Path) -> Explanation:
    """Heat in the right upper quarter at frame 3 alone."""
    clip = write_video(folder / "clip.mp4", [numbered(i, *SIZE) for i in range(6)])
    maps = np.zeros((6, 2, 2))
    maps[3, 0, 1] = 5.0
    return explanation(maps, clip=clip, size=SIZE)


@pytest.mark.parametrize(("cmap", "alpha"), [("inferno", 0.8), ("cividis", 0.3)])
def test_an_overlay_is_the_frame_of_the_clip_with_its_heat(tmp_path: Path, cmap: str, alpha: float) -> None:
    found = _found(tmp_path)
    plain = [frame.pixels.astype(int) for frame in Clip(found.clip)]
    cold, hot = found.overlay(2, cmap=cmap, alpha=alpha), found.overlay(3, cmap=cmap, alpha=alpha)
    np.testing.assert_array_equal(cold, plain[2])
    colour = np.array(matplotlib.colormaps[cmap](255, bytes=True)[:3], int)
    expected = plain[3][2, -3] + alpha * (colour - plain[3][2, -3])  # where the cell's centre and border are alike
    assert np.abs(hot[2, -3] - expected).max() <= 2 and (hot[-3, 2] == plain[3][-3, 2]).all()


def test_pixels_of_ones_own_loop_are_taken_in_any_size(tmp_path: Path) -> None:
    found = _found(tmp_path)
    own = np.full((96, 128, 3), 100, np.uint8)
    drawn = found.overlay(3, own[:, ::-1])
    assert (
        drawn.shape == own.shape and (own == 100).all() and (drawn[-3, 2] == 100).all() and (drawn[2, -3] != 100).any()
    )
    frame = list(Clip(found.clip))[3]
    np.testing.assert_array_equal(found.overlay(frame), found.overlay(3))
    np.testing.assert_array_equal(found.overlay(3, frame.pixels), found.overlay(3))


def test_all_overlays_are_decoded_once_in_their_order(tmp_path: Path) -> None:
    found = _found(tmp_path)
    pictures = list(found.overlays(cmap="viridis"))
    assert len(pictures) == 6
    for index in (0, 3, 5):
        np.testing.assert_array_equal(pictures[index], found.overlay(index, cmap="viridis"))


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    found = _found(tmp_path)
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), "frame.png", np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(SettingsError, match=r"give \(H, W, 3\) uint8 RGB"):
            found.overlay(0, pixels)  # type: ignore[arg-type]
    for frame in (6, -1, 1.5, True, None, "0", np.zeros((4, 4, 3), np.uint8)):
        for draw in (found.overlay, found.heatmap):
            with pytest.raises(SettingsError, match="in a clip of 6 frames; give a whole number from 0 to 5"):
                draw(frame)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.overlay(np.int64(3)), found.overlay(3))
    with pytest.raises(SettingsError, match="there is no colormap 'jet'"):
        found.overlay(0, cmap="jet")
    with pytest.raises(SettingsError, match="opacity is 2"):
        found.overlays(alpha=2)
    Path(found.clip).unlink()
    with pytest.raises(ClipError):
        found.overlay(0)


def test_a_plot_is_drawn_into_the_given_axes() -> None:
    found = explanation(np.arange(24.0).reshape(6, 2, 2))
    above, below = Figure().subplots(2)
    assert found.plot(below) is below and not above.lines
    np.testing.assert_allclose(below.lines[0].get_xydata(), np.stack([found.times, found.scores], 1), rtol=1e-6)
    assert below.get_xlabel() == "time (s)" and "a <b>" in below.get_title(loc="left")


def test_a_plot_without_axes_has_a_figure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    axes = explanation(np.ones((6, 2, 2))).plot()
    assert pyplot.gcf() is axes.figure
    pyplot.close("all")
