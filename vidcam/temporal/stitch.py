"""From windows to frames: what was computed per window, overlap-added on the clip's own frames.

A window's map has fewer steps in time than the window has frames. It is interpolated linearly in time, with the
sample positions of `torch.nn.functional.interpolate(..., mode="trilinear", align_corners=False)`, to every source
frame the window spans, and averaged with its neighbours under triangular weights, so that nothing jumps where a
window begins. Interpolation in space is left to the reader of the result: both are linear, so their order does not
matter, and the maps stay small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidcam.video.windows import Windowing


def stitch(
    values: np.ndarray | Sequence[np.ndarray], starts: Sequence[int], frames: int, windowing: Windowing
) -> np.ndarray:
    """One value per source frame from the values of overlapping windows.

    Args:
        values: for each of W windows a float32 array (t, ...), its t time steps spread evenly over the window. A score
            per window has t = 1.
        starts: source frame each window begins at, (W,); below 0 where a window begins before the clip.
        frames: source frames of the clip, F.
        windowing: how the windows were cut.

    Returns:
        (F, ...) float32. Frames that no window covers do not exist (see `Windowing`). Steps of a window that fall
        before the first frame or beyond the last are dropped.
    """
    span, steps, shape = windowing.span, len(values[0]), values[0].shape[1:]
    weights = window_weights(span)
    kernel = (_interpolation(windowing, steps) * weights[:, None]).astype(np.float32)
    total = np.zeros((frames, *shape), np.float32)  # the only thing that is as long as the clip
    norm = np.zeros(frames, np.float32)
    for window, start in zip(values, starts, strict=True):
        begin, end = max(0, start), min(start + span, frames)
        total[begin:end] += np.tensordot(kernel[begin - start : end - start], window, 1)
        norm[begin:end] += weights[begin - start : end - start]
    total /= norm.reshape(-1, *[1] * len(shape))
    return total


def window_weights(span: int) -> np.ndarray:
    """(span,) how much a window counts at each of its frames: a triangle, most in its middle, where it sees most."""
    return np.minimum(np.arange(1, span + 1), np.arange(span, 0, -1)).astype(np.float64)


def _interpolation(windowing: Windowing, steps: int) -> np.ndarray:
    """(span, steps): the share of each time step in each source frame of a window."""
    position = np.arange(windowing.span) / windowing.sampling_rate
    at = np.clip((position + 0.5) * steps / windowing.length - 0.5, 0, steps - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(steps)[None, :]))
