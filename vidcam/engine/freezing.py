"""Frozen windows: every frame replaced by the middle one, and the motion share that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from vidcam.cam.hiding import still
from vidcam.cam.targets import Contrast
from vidcam.engine.attribution import Attributed, Attributor, Choose, Key, WindowMap
from vidcam.engine.loader import Batch
from vidcam.models.registry import Model, softmax
from vidcam.temporal.motion import MotionShare, motion_share, no_motion_share
from vidcam.video.windows import Windowing


def frozen(batch: Batch) -> Batch:
    """Return the batch with every frame of a window replaced by its middle frame; for batches without a `cut`."""
    return replace(batch, given=still(batch.given).contiguous(memory_format=torch.channels_last_3d))


def attributed_twice(attributor: Attributor, batch: Batch, choose: Choose) -> Attributed:
    """Return the maps of a batch, each with that of the same target in the frozen window; two passes of the network.

    Arguments and errors as for `Attributor.maps`.
    """
    with _half_of_progress(attributor, 0):
        found = attributor.maps(batch, choose)
    with _half_of_progress(attributor, 1):
        of_frozen = attributor.maps(frozen(batch), lambda p: [list(of_window) for of_window in found.maps])
    maps = [
        {key: replace(one, frozen=of_still[key]) for key, one in of_window.items()}
        for of_window, of_still in zip(found.maps, of_frozen.maps)
    ]
    return replace(found, maps=maps)


@contextmanager
def _half_of_progress(attributor: Attributor, half: int) -> Iterator[None]:
    """Report what is done of a run as the first half (0) or the second half (1) of the batch."""
    report = attributor.on_share
    attributor.on_share = lambda share: report((half + share) / 2)
    try:
        yield
    finally:
        attributor.on_share = report


def share_of_motion(
    model: Model,
    key: Key,
    maps: Sequence[WindowMap],
    starts: Sequence[int],
    inside: np.ndarray,
    windowing: Windowing,
    stitched: Callable[[np.ndarray], np.ndarray],
) -> MotionShare:
    """Return the motion share of a target in a clip.

    Args:
        model: the network.
        key: the target.
        maps: of the target in each window, with the frozen windows' maps.
        starts, inside, windowing, stitched: as for `motion_share`.
    """
    of_frozen = [m.frozen for m in maps if m.frozen is not None]
    reason = ""
    if callable(key) or isinstance(key, Contrast) or model.spec.probabilities is None:
        reason = "it is a share of a class's probability, and the target has none"
    elif model.spec.probabilities is not softmax:
        reason = f"it is measured from chance, 1 / classes, and the probabilities of {model.spec.name} are no softmax"
    if reason:
        frames = len(stitched(np.zeros((len(maps), 1), np.float32)))
        return no_motion_share(reason, int(inside.sum()), frames)
    return motion_share(
        np.array([m.probability for m in maps], np.float64),
        np.array([one.probability for one in of_frozen], np.float64),
        starts,
        inside,
        windowing,
        stitched,
        len(model.labels),
        [model.labels[one.top] for one in of_frozen if one.top is not None],
    )
