from __future__ import annotations

import numpy as np

from vidcam.export.blend import blend
from vidcam.live.frame import LiveFrame
from vidcam.live.overlay import LiveOverlay
from vidcam.live.step import Step
from vidcam.models.preprocess import Preprocess
from vidcam.results.drawing import Drawing

_WHOLE = Preprocess((64, 64), (64, 64), (0.5,) * 3, (0.5,) * 3)


def _step(pixels: np.ndarray, heat: np.ndarray | None, seconds: float = 0.0, score: float = 0.5) -> Step:
    frame = LiveFrame(0, 0, seconds, seconds, seconds, 10.0, pixels)
    scores = None if heat is None else np.array([score])
    evidence = 0.0 if heat is None else float(heat.mean())
    shown = None if heat is None else score
    return Step(frame, "waving", shown, scores, heat, evidence, 2.0, (), (), (), 1.25)


def test_the_picture_is_blended_with_heat_at_its_causal_scale() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (180, 320, 3)).astype(np.uint8)
    drawn = LiveOverlay(_WHOLE).draw(_step(pixels, np.full((3, 3), 1.0, np.float32)))
    assert drawn.shape[1] == 320 and drawn.shape[0] > 180 and drawn.shape[0] % 2 == 0
    assert (drawn[:180] == blend(pixels, np.full((180, 320), 0.5, np.float32))).all()


def test_a_frame_without_heat_is_unchanged_and_odd_and_narrow_ones_are_filled() -> None:
    pixels = np.full((101, 75, 3), 120, np.uint8)
    drawn = LiveOverlay(_WHOLE).draw(_step(pixels, None))
    assert drawn.shape[1] == 320 and drawn.shape[0] % 2 == 0
    assert (drawn[:100, :75] == 120).all() and (drawn[:100, 80:] < 40).all()


def test_the_part_that_the_network_sees_is_outlined() -> None:
    crop = Preprocess(64, (64, 64), (0.5,) * 3, (0.5,) * 3)
    drawn = LiveOverlay(crop).draw(_step(np.zeros((180, 320, 3), np.uint8), None))
    assert (drawn[90, 68] == 200).all() and (drawn[90, 160] == 0).all()


def test_the_curve_shows_the_last_seconds_only_and_starts_anew_when_time_goes_back() -> None:
    overlay, pixels = LiveOverlay(_WHOLE), np.zeros((180, 320, 3), np.uint8)
    for tenth in range(300):
        overlay.draw(_step(pixels, np.ones((3, 3), np.float32), tenth / 10))
    assert 100 <= len(overlay._curve) <= 101
    high = overlay.draw(_step(pixels, np.ones((3, 3), np.float32), 30.0, score=1.0))
    low = overlay.draw(_step(pixels, np.ones((3, 3), np.float32), 30.1, score=0.0))
    assert (high != low).any()


def test_colours_are_those_of_the_drawing() -> None:
    pixels, heat = np.full((180, 320, 3), 90, np.uint8), np.full((3, 3), 1.0, np.float32)
    drawing = Drawing(colormap="viridis", style="heat")
    drawn = LiveOverlay(_WHOLE, drawing).draw(_step(pixels, heat))
    assert (drawn[:180] == blend(pixels, np.full((180, 320), 0.5, np.float32), drawing)).all()
