"""Overlaid frames: frames of a clip with their heat, one by one, without a strip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from vidcam.errors import SettingsError
from vidcam.export.overlay import draw_heat
from vidcam.export.playback import explained_frames
from vidcam.results.explanation import Explanation
from vidcam.video.stages import Stages


def overlay(explanation: Explanation, frame: int, pixels: np.ndarray | None) -> np.ndarray:
    """Return a frame with its heat, (H, W, 3) uint8 RGB; `Explanation.overlay` calls it.

    Args:
        explanation: of the clip.
        frame: index of the frame.
        pixels: of the whole upright frame, (H, W, 3) uint8 RGB in any size; None for those of the clip.

    Raises:
        SettingsError: the pixels are no RGB picture.
        ClipError: the clip has changed, is gone, or can be read once only.
    """
    if pixels is None:
        with closing(explained_frames(explanation, explanation.opened(), Stages())) as frames:
            pixels = next(one.pixels for one in frames if one.index == frame)
    elif getattr(pixels, "dtype", None) != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        given = f"{type(pixels).__name__} {getattr(pixels, 'dtype', '')} {getattr(pixels, 'shape', '')}"
        raise SettingsError(f"pixels are {given.strip()}; give (H, W, 3) uint8 RGB of the whole upright frame")
    return draw_heat(np.ascontiguousarray(pixels), explanation, frame, explanation.peak)


def overlays(explanation: Explanation) -> Iterator[np.ndarray]:
    """Yield all frames with their heat, (H, W, 3) uint8 RGB; `Explanation.overlays` calls it.

    Raises:
        ClipError: the clip has changed, is gone, or can be read once only.
    """
    with closing(explained_frames(explanation, explanation.opened(), Stages())) as frames:
        for frame in frames:
            yield draw_heat(frame.pixels, explanation, frame.index, explanation.peak)
