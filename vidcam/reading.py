"""A clip on its way into a network: decoded, resized and cut into batches on another thread, ahead of the network."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcam.ahead import ahead
from vidcam.allocator import give_back_freed_memory
from vidcam.models.inference import windows_at_once
from vidcam.models.preprocess import stacked
from vidcam.models.registry import Model
from vidcam.video.kept import Kept
from vidcam.video.source import FrameSource
from vidcam.video.windows import Window, Windowing, sliding_windows

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames the header announces, 0 where it does not say."""

_FEW_STEPS = 8  # between frames, that tell nothing about a rate
_VARIES = 1.9  # ratio of a clip's long steps to its short ones that makes its rate a variable one
_OFF = 1.3  # ratio of the rate that the network sees to the one it was trained at that is said
_AHEAD = 2  # batches that wait
_GIVE_BACK_EVERY = 16  # batches; holes between small results would otherwise grow with the length of the clip


@dataclass(frozen=True)
class Batch:
    """What the network is given at once.

    Attributes:
        starts: source frame of each window.
        given: the network's input, normalised, on its device: (N, 3, T, H, W), one window each; or, where there is a
            `cut`, one long span (1, 3, L, H, W).
        cut: makes of the target layer's output on the span that of the N windows.
    """

    starts: list[int]
    given: Tensor
    cut: Callable[[Tensor], Tensor] | None = None


class Reading:
    """One clip and how it is cut; frames are counted and timed as they pass.

    Attributes:
        at_once: windows of a batch that the device's memory was not seen to refuse.
    """

    def __init__(self, clip: FrameSource, model: Model, windowing: Windowing, progress: Progress) -> None:
        self.clip, self.model, self.windowing, self.progress = clip, model, windowing, progress
        self.times: list[float] = []
        self.padded = 0
        self.at_once = sys.maxsize
        self.began = time.perf_counter()
        self._kept = None if clip.reopens else Kept(self._seen(clip))

    def batches(self, only: Collection[int] | None = None) -> Generator[Batch]:
        """The windows of the clip, or those that start at the given frames, in batches made ahead on a thread."""
        windows = (w for w in self._windows() if only is None or w.start in only)
        return ahead(batches(self.model, windows), _AHEAD)

    def first(self, count: int) -> list[Window[np.ndarray]]:
        """The first windows of the clip."""
        again = self._kept or self._seen(self.clip.reopened())  # this one may be being read
        frames = (pixels for _, pixels in again)
        with closing(sliding_windows(frames, self.windowing)) as windows:
            return list(islice(windows, count))

    def _windows(self) -> Iterator[Window[np.ndarray]]:
        for window in sliding_windows(self.frames(), self.windowing):
            self.padded = window.padded
            yield window

    def frames(self) -> Iterator[np.ndarray]:
        """The frames of the clip as the network sees them, counted."""
        self.times = []
        for seconds, pixels in self._kept or self._seen(self.clip):
            self.times.append(seconds)
            self.progress(len(self.times), self.clip.frames_announced)
            yield pixels

    def _seen(self, source: FrameSource) -> Iterator[tuple[float, np.ndarray]]:
        """The times of a source's frames in seconds, and the frames as the network sees them."""
        for frame in source:
            yield frame.time, self.model.spec.preprocess.frame(frame.pixels)

    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the clip, once it is read, and the model."""
        notes = [*self.clip.warnings, *self._about_rates()]
        if self.padded:
            notes.append(
                f"{Path(self.clip.name).name}: its {len(self.times)} frames are fewer than one window of "
                f"{self.windowing.span}; the last frame is repeated to fill it"
            )
        return tuple([*notes, self.model.note] if self.model.note else notes)

    def _about_rates(self) -> Iterator[str]:
        """Say where windows, which count frames, do not last as long as those that the network was trained on."""
        name, trained = Path(self.clip.name).name, self.model.spec.frame_rate
        steps = np.diff(self.times)
        if len(steps) < _FEW_STEPS or not trained:
            return
        short, long = np.quantile(steps, (0.1, 0.9))
        if short > 0 and long / short >= _VARIES:
            yield (
                f"{name}: its frame rate varies from {1 / long:.3g} to {1 / short:.3g} a second, and windows count frames: "
                "scores and times are less certain; make its rate constant to be sure"
            )
        seen = float(self.clip.frame_rate) / self.windowing.sampling_rate
        if not 1 / _OFF <= seen / trained <= _OFF:
            yield (
                f"{name}: the network sees {seen:.3g} frames a second and was trained at {trained:.3g}; "
                "give another sampling rate, or a clip at its rate"
            )

    def computation(self) -> dict[str, Any]:
        """In what the trunk computed, and how its maps correlate with float32's where that was measured."""
        return {"dtype": self.model.dtype or "float32", "fidelity": self.model.fidelity, "dense": False}


def windowing_of(
    clip: FrameSource, model: Model, stride: int | None, sampling_rate: int | None, *, overlap: int
) -> Windowing:
    """How a clip is cut: at the frame rate the network was trained at and with `overlap` windows over each frame,
    unless told otherwise.
    """
    spec = model.spec
    natural = max(1, round(float(clip.frame_rate) / spec.frame_rate)) if spec.frame_rate else 1
    rate = natural if sampling_rate is None else sampling_rate
    span = (spec.frames - 1) * rate + 1
    return Windowing(spec.frames, max(1, span // overlap) if stride is None else stride, rate)


def batches(model: Model, windows: Iterable[Window[np.ndarray]]) -> Iterator[Batch]:
    """Windows by the number the network is given at once; memory that is free again is given back as they go."""
    remaining, given, most = iter(windows), 0, windows_at_once(model)
    while some := list(islice(remaining, most)):
        yield Batch([w.start for w in some], network_input(model, [w.frames for w in some]))
        given += 1
        if given % _GIVE_BACK_EVERY == 0:
            give_back_freed_memory()


def network_input(model: Model, frames: Sequence[Sequence[np.ndarray]]) -> Tensor:
    """N windows of T frames (H, W, 3) uint8, as the network sees them: (N, 3, T, H, W), on its device."""
    pixels = stacked(frames)
    if model.device.type == "cuda":  # a quarter of the bytes that normalised ones have
        pixels = pixels.pin_memory().to(model.device, non_blocking=True)
    return normalised(model, pixels)


def normalised(model: Model, pixels: Tensor) -> Tensor:
    """Windows of pixels (N, 3, T, H, W) in 0..255, as the network takes them: normalised, on its device, in its dtype."""
    given = model.spec.preprocess.normalized(pixels).to(model.device, next(model.network.parameters()).dtype)
    return given.contiguous(memory_format=torch.channels_last_3d)
