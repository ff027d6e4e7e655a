"""A network on frames that are in memory: its confidence in clips, and its maps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidcam.attribution import attribute
from vidcam.cam.fusion import fuse
from vidcam.cam.targets import class_scores
from vidcam.models.registry import Model
from vidcam.reading import Batch, batches, network_input, normalised
from vidcam.temporal.curves import clip_probabilities
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import Windowing, sliding_windows

_BATCH = 8


@torch.no_grad()
def confidences(model: Model, clips: Tensor) -> np.ndarray:
    """Class probabilities (N, classes) of windows of pixels (N, 3, T, H, W) in 0..255."""
    found = []
    for part in torch.split(clips, _BATCH):
        batch = model.spec.pack(normalised(model, part))
        found.append(model.spec.probabilities(class_scores(model.network(batch)).float()).cpu())
    return torch.cat(found).numpy()


def pixels(frames: np.ndarray) -> Tensor:
    """Frames (T, H, W, 3) uint8 as float pixels (3, T, H, W)."""
    return rearrange(torch.from_numpy(np.ascontiguousarray(frames)).float(), "t h w c -> c t h w")


@dataclass(frozen=True)
class Watched:
    """What a network makes of a clip: its class, and the window in which it is surest of it.

    Attributes:
        predicted: index of the clip's most probable class.
        surest: the frames (T, H, W, 3) of that window.
        start: source frame it begins at.
    """

    predicted: int
    surest: np.ndarray
    start: int


def watch(model: Model, frames: np.ndarray, windowing: Windowing, of: int | None = None) -> Watched:
    """The clip's class, and the window in which that class, or another one, is the most probable."""
    cut = list(sliding_windows(frames, windowing))
    probabilities = confidences(model, torch.stack([pixels(np.stack(w.frames)) for w in cut]))
    predicted = int(clip_probabilities(probabilities, model.background).argmax())
    best = cut[int(probabilities[:, predicted if of is None else of].argmax())]
    return Watched(predicted, np.stack(best.frames), best.start)


def window_maps(
    model: Model, frames: np.ndarray, layers: Sequence[str], methods: Sequence[str], target: int
) -> dict[str, np.ndarray]:
    """method → map (t, h, w) of one window (T, H, W, 3), several layers fused."""
    batch = Batch([0], network_input(model, [list(frames)]))
    _, ((only),) = attribute(model, layers, methods, batch, lambda p: [[target]])
    return {name: _one([only[target].heat[name, layer] for layer in layers]) for name in methods}


@dataclass(frozen=True)
class ClipMaps:
    """Maps of a clip: method → (F, h, w); and the probability of the class around each frame, (F,)."""

    maps: dict[str, np.ndarray]
    scores: np.ndarray


def clip_maps(
    model: Model, frames: np.ndarray, windowing: Windowing, layers: Sequence[str], methods: Sequence[str], target: int
) -> ClipMaps:
    """What `explain` gives for a clip (F, H, W, 3) that is in memory, by several methods."""
    starts: list[int] = []
    found = []
    for batch in batches(model, sliding_windows(frames, windowing)):
        starts += batch.starts
        found += [of[target] for of in attribute(model, layers, methods, batch, lambda p: [[target]] * len(p))[1]]

    def stitched(values: list[np.ndarray]) -> np.ndarray:
        return stitch(values, starts, len(frames), windowing)

    maps = {m: _one([stitched([f.heat[m, layer] for f in found]) for layer in layers]) for m in methods}
    return ClipMaps(maps, stitched([np.array([f.score], np.float32) for f in found]))


def _one(parts: list[np.ndarray]) -> np.ndarray:
    """The map of one layer as it is; those of several brought to the most steps in time and fused."""
    if len(parts) == 1:
        return parts[0]
    steps = max(len(p) for p in parts)
    return fuse([p[np.arange(steps) * len(p) // steps] for p in parts])


def upsampled(maps: np.ndarray, height: int, width: int, frames: int | None = None) -> Tensor:
    """A map (F, h, w) on the grid of pixels, (frames or F, height, width), by trilinear interpolation."""
    volume = torch.from_numpy(np.ascontiguousarray(maps, np.float32))[None, None]
    size = (frames or len(maps), height, width)
    return torch.nn.functional.interpolate(volume, size=size, mode="trilinear", align_corners=False)[0, 0]
