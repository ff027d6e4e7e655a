"""Motion and appearance: the evidence of a window that a single one of its frames does not hold, and the rest of it.

A frozen window is the window with every frame replaced by its middle frame. What the network finds in it is appearance;
what only the moving window gives is motion. See docs/mathematics.md for the definitions that were tried and failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vidcam.errors import counted, one_of
from vidcam.video.windows import Windowing

Evidence = Literal["whole", "motion", "appearance"]
EVIDENCES: tuple[Evidence, ...] = get_args(Evidence)

LEAST_BITS = 0.5
"""Bits above chance below which a window has no motion share: its probability is 1.41 times chance or less."""


def part_of(heat: np.ndarray, frozen: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Return a part of a window's map: relu(L - L_frozen) for motion, min(L, L_frozen) for appearance, or the whole L.

    Motion and appearance add up to the whole.

    Args:
        heat: L, (t, h, w), 0 or more, without the window's factor.
        frozen: L_frozen, the map of the same target in the frozen window, (t, h, w).
        evidence: one of `EVIDENCES`.

    Raises:
        SettingsError: there is no such evidence.

    Example:
        >>> part_of(np.array([3.0, 1.0]), np.array([1.0, 2.0]), "motion")
        array([2., 0.])
    """
    match one_of(evidence, EVIDENCES, "evidence"):
        case "motion":
            return np.maximum(heat - frozen, 0)
        case "appearance":
            return np.minimum(heat, frozen)
    return heat


@dataclass(frozen=True, eq=False)  # its arrays do not compare
class MotionShare:
    """The share of motion in the bits that a network gives for a class, log(p / p_frozen) / log(p · classes).

    Attributes:
        share: of the clip, in [0, 1]: the windows' bits of motion over their bits above chance; None if undefined.
        low, high: the share with, in every window, the frozen frame that gives the least and the most; None like it.
        unclamped: the clip's share before it was cut to [0, 1].
        undefined: the reason why there is none, or "".
        windows: (W,) the share in each window of the clip, in [0, 1]; NaN where the probability is near chance.
        window_range: (W, 2) the same with the frozen frame that gives the least and the most.
        frames: (F,) the share around each frame, in [0, 1]; NaN where all its windows are near chance.
        frozen: labels of the classes that the clip's windows become when they are frozen, each with its number of windows,
            most first; of the windows that have a share, or of all if none has.
    """

    share: float | None
    low: float | None
    high: float | None
    unclamped: float | None
    undefined: str
    windows: np.ndarray
    window_range: np.ndarray
    frames: np.ndarray
    frozen: tuple[tuple[str, int], ...] = ()

    def written(self) -> str:
        """Return the share with its range as text."""
        if self.share is None:
            return "undefined"
        return f"{self.share:.2f} ({self.low:.2f} to {self.high:.2f})"

    def notes(self, label: str) -> tuple[str, ...]:
        """Return the share of a target, and what the frozen windows become, as notes for the user."""
        if self.share is None:
            first = f"the motion share of {label} is undefined: {self.undefined}"
        else:
            first = f"motion share of {label}: {self.written()} of its bits above chance, the range over frozen frames"
            if self.unclamped is not None and self.unclamped > 1:
                first += f"; cut from {self.unclamped:.2f}, because frozen windows have it below chance"
            if self.unclamped is not None and self.unclamped < 0:
                first += f"; cut from {self.unclamped:.2f}, because frozen windows have more of it"
        if not self.frozen:
            return (first,)
        total = sum(count for _, count in self.frozen)
        became = ", ".join(f"{shown} ({count} of {counted(total, 'window')})" for shown, count in self.frozen[:3])
        return first, f"frozen at its middle frame, a window of {label} is taken for {became}"


def motion_share(
    probabilities: np.ndarray,
    frozen: np.ndarray,
    starts: Sequence[int],
    inside: np.ndarray,
    windowing: Windowing,
    stitched: Callable[[np.ndarray], np.ndarray],
    classes: int,
    became: Sequence[str] = (),
) -> MotionShare:
    """Return the motion share of a class in a clip.

    A window is frozen at its middle frame. The frozen windows of its neighbours are frozen at other frames of it, where
    they overlap: the range over these costs no pass of the network.

    Args:
        probabilities: (W,) p of the class in each window.
        frozen: (W,) p_frozen of the class in each frozen window.
        starts: (W,) frame that each window begins at.
        inside: (W,) bool, the windows that the clip's share is of.
        windowing: length and sampling rate of the windows.
        stitched: returns values of the frames, (F, ...), given those of the windows, (W, 1, ...).
        classes: number of classes, of which each has the probability 1 / classes by chance.
        became: (W,) label of the class that each frozen window becomes.

    Example:
        >>> p, frozen, inside = np.array([1.0]), np.array([0.5]), np.array([True])
        >>> one = motion_share(p, frozen, [0], inside, Windowing(8, 4), lambda values: values[:, 0], 4)
        >>> one.share, one.written()
        (0.5, '0.50 (0.50 to 0.50)')
    """
    tiny = np.finfo(np.float64).tiny
    above = np.log2(np.maximum(probabilities.astype(np.float64) * classes, tiny))  # bits above chance
    log_frozen = np.log2(np.maximum(frozen.astype(np.float64), tiny))
    own = np.log2(np.maximum(probabilities.astype(np.float64), tiny))
    first = np.asarray(starts)
    middle = first + windowing.length // 2 * windowing.sampling_rate
    held = (middle >= first[:, None]) & (middle < first[:, None] + windowing.span)  # frozen frame j in window i
    least = own - np.where(held, log_frozen, -np.inf).max(1)
    most = own - np.where(held, log_frozen, np.inf).min(1)
    bits = np.stack([own - log_frozen, least, most], 1)

    known = above >= LEAST_BITS
    shares = np.clip(np.divide(bits, above[:, None], out=np.full_like(bits, np.nan), where=known[:, None]), 0, 1)
    pair = np.stack([np.where(known, np.clip(bits[:, 0], 0, above.clip(min=0)), 0), np.where(known, above, 0)], 1)
    around = stitched(pair[:, None].astype(np.float32))
    of_frames = np.divide(
        around[:, 0], around[:, 1], out=np.full(len(around), np.nan, np.float32), where=around[:, 1] > 0
    )

    counting = known & inside
    chosen = counting if counting.any() else inside
    names = Counter(label for label, counts in zip(became, chosen) if counts).most_common()
    in_windows = shares[inside, 0], shares[inside, 1:], of_frames, tuple(names)
    if not counting.any():
        return MotionShare(None, None, None, None, "its probability is near chance in every window", *in_windows)
    ratio = bits[counting].sum(0) / above[counting].sum()
    share, low, high = (float(v) for v in np.clip(ratio, 0, 1))
    return MotionShare(share, low, high, float(ratio[0]), "", *in_windows)


def no_motion_share(undefined: str, windows: int, frames: int) -> MotionShare:
    """Return the motion share of a target that has none.

    Args:
        undefined: the reason.
        windows, frames: numbers of windows inside the clip and of frames.
    """
    none = np.full(windows, np.nan), np.full((windows, 2), np.nan), np.full(frames, np.nan, np.float32)
    return MotionShare(None, None, None, None, undefined, *none)
