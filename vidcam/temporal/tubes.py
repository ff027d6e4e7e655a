"""Tubes of a heatmap: a box in every frame around each region with evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from vidcam.errors import SettingsError

_FINER = 4  # cells of the grid that boxes are read from, along a side of a cell of the map


@dataclass(frozen=True, eq=False)  # two are the same if they are one: their arrays do not compare
class Tube:
    """A region of a clip in space and time.

    Attributes:
        label: of the class.
        score: in [0, 1]: the strength of its heat times the score of the class in its frames.
        start: its first frame.
        boxes: (n, 4) left, top, right, bottom in pixels of the upright frame, of n consecutive frames.
    """

    label: str
    score: float
    start: int
    boxes: np.ndarray

    @property
    def end(self) -> int:
        """The frame after the last."""
        return self.start + len(self.boxes)


@dataclass(frozen=True)
class TubeParams:
    """Parameters that extract tubes from heatmaps.

    Attributes:
        threshold: smallest heat of a tube, as a share of the strongest of the clip.
        least_frames: tubes with fewer frames are dropped.
        gap: largest number of frames without heat inside a tube.
        overlap: smallest intersection over union of its boxes before and after such a gap.
    """

    threshold: float = 0.35
    least_frames: int = 4
    gap: int = 8
    overlap: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise SettingsError(f"the threshold of tubes is {self.threshold}; give a share between 0 and 1")


def tubes_of(
    maps: np.ndarray,
    scores: np.ndarray,
    region: Sequence[float],
    label: str,
    params: TubeParams = TubeParams(),
) -> list[Tube]:
    """Return the tubes of a clip, best first.

    Heat at or above the threshold falls into components connected in space and time, by faces, edges or corners; each
    is a tube, its box in a frame the smallest around it. A component that ends and another that begins soon after at
    the same place are one tube, with linearly interpolated boxes between them.

    Args:
        maps: (F, h, w) raw heatmaps.
        scores: (F,) scores of the class.
        region: left, top, right, bottom of the maps in pixels of the frame.
        label: of the class.
        params: how tubes are extracted.
    """
    peak = float(maps.max(initial=0.0))
    if peak <= 0:
        return []
    finer = (maps.shape[2] * _FINER, maps.shape[1] * _FINER)
    heat = np.stack([cv2.resize(m / peak, finer, interpolation=cv2.INTER_LINEAR) for m in maps.astype(np.float32)])
    pieces, count = ndimage.label(heat >= params.threshold, structure=np.ones((3, 3, 3)))
    found = []
    for number, place in enumerate(ndimage.find_objects(pieces, count), start=1):
        inside = pieces[place] == number
        start = place[0].start
        strength = float(heat[place][inside].max())
        score = strength * float(np.clip(scores[place[0]], 0, 1).mean())
        corner = np.array([place[2].start, place[1].start] * 2)
        boxes = np.stack([_box(frame) for frame in inside]) + corner
        found.append(Tube(label, score, start, _in_pixels(boxes, region, finer)))
    linked = _linked(found, params)
    return sorted((t for t in linked if len(t.boxes) >= params.least_frames), key=lambda t: -t.score)


def box_iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of a box (..., 4) with others (..., 4), (...); 0 if both are empty.

    Args:
        box, others: left, top, right, bottom.
    """
    low, high = np.maximum(box[..., :2], others[..., :2]), np.minimum(box[..., 2:], others[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(b[..., 2:] - b[..., :2], 0, None).prod(-1) for b in (box, others)]
    union = areas[0] + areas[1] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(union, dtype=np.float64), where=union > 0))


def _box(inside: np.ndarray) -> np.ndarray:
    """Return left, top, right, bottom of the true cells in each frame, (n, 4); every frame has some."""
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def _in_pixels(boxes: np.ndarray, region: Sequence[float], grid: tuple[int, int]) -> np.ndarray:
    left, top, right, bottom = region
    scale = np.array([(right - left) / grid[0], (bottom - top) / grid[1]] * 2)
    return np.asarray(boxes * scale + np.array([left, top] * 2))


def _linked(tubes: list[Tube], params: TubeParams) -> list[Tube]:
    """Return the tubes joined across gaps; of several possible continuations the one that overlaps most is taken."""
    open_, done = sorted(tubes, key=lambda t: t.start), []
    while open_:
        tube = open_.pop(0)
        coming = [t for t in open_ if 0 <= t.start - tube.end <= params.gap]
        overlaps = [float(box_iou(tube.boxes[-1], t.boxes[0])) for t in coming]
        if not coming or max(overlaps) < params.overlap:
            done.append(tube)
            continue
        other = coming[int(np.argmax(overlaps))]
        open_.remove(other)
        steps = np.arange(1, other.start - tube.end + 1)[:, None] / (other.start - tube.end + 1)
        between = tube.boxes[-1] + steps * (other.boxes[0] - tube.boxes[-1])
        boxes = np.concatenate([tube.boxes, between, other.boxes])
        open_.insert(0, Tube(tube.label, max(tube.score, other.score), tube.start, boxes))
    return done
