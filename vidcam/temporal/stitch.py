"""Stitching: values of overlapping windows, overlap-added on the frames of the clip.

A window's map has fewer steps in time than the window has frames. It is interpolated linearly in time, with the
sample positions of `torch.nn.functional.interpolate(..., mode="trilinear", align_corners=False)`, to every frame that
the window spans, and averaged with its neighbours under triangular weights, so that values do not jump where a
window begins. Interpolation in space is done by the code that displays the result: both are linear, so their order does
not matter, and the maps stay small.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vidcam.video.windows import Windowing


def stitch(
    values: np.ndarray | Sequence[np.ndarray], starts: Sequence[int], frames: int, windowing: Windowing
) -> np.ndarray:
    """Return one value per frame of a stream from the values of overlapping windows.

    Args:
        values: for each of W windows a float32 array (t, ...), its t steps in time spread evenly over the window. A score
            per window has t = 1.
        starts: frame that each window begins at, (W,); below 0 if a window begins before the clip.
        frames: number of frames of the stream that the windows are cut from, F.
        windowing: length, stride and sampling rate of the windows.

    Returns:
        (F, ...) float32. A window covers every frame (see `Windowing`). Steps of a window before the first frame or
        after the last are dropped.
    """
    span, shape = windowing.span, values[0].shape[1:]
    weights = window_weights(span)
    kernel = window_kernel(windowing, len(values[0]))
    total = np.zeros((frames, *shape), np.float32)  # the only array of values that is as long as the clip
    norm = np.zeros(frames, np.float32)
    for window, start in zip(values, starts, strict=True):
        begin, end = max(0, start), min(start + span, frames)
        total[begin:end] += np.tensordot(kernel[begin - start : end - start], window, 1)
        norm[begin:end] += weights[begin - start : end - start]
    total /= norm.reshape(-1, *[1] * len(shape))
    return total


def at_times(values: np.ndarray, instants: Sequence[float], times: Sequence[float]) -> np.ndarray:
    """Return values at other times, (F, ...), by linear interpolation.

    Args:
        values: (I, ...).
        instants: times of the values in seconds, increasing, (I,).
        times: in seconds, (F,); before the first instant and after the last, its value is returned.
    """
    position = np.interp(times, instants, np.arange(len(instants)))
    before = position.astype(int)
    found = values[before]
    for frame in np.flatnonzero(position > before):  # one by one: maps of long clips are large
        share = values.dtype.type(position[frame] - before[frame])
        found[frame] += (values[before[frame] + 1] - values[before[frame]]) * share
    return found


def window_weights(span: int) -> np.ndarray:
    """Return the weight of a window at each of its frames, (span,): a triangle, largest in the middle."""
    return np.minimum(np.arange(1, span + 1), np.arange(span, 0, -1)).astype(np.float64)


@lru_cache
def window_kernel(windowing: Windowing, steps: int) -> np.ndarray:
    """Return the share of each step in time in each frame of a window, times its weight, (span, steps) float32."""
    return (_interpolation(windowing, steps) * window_weights(windowing.span)[:, None]).astype(np.float32)


def _interpolation(windowing: Windowing, steps: int) -> np.ndarray:
    """Return the share of each step in time in each frame of a window, (span, steps)."""
    position = np.arange(windowing.span) / windowing.sampling_rate
    at = np.clip((position + 0.5) * steps / windowing.length - 0.5, 0, steps - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(steps)[None, :]))
