"""Window loader: resizes a source and cuts it into batches of windows, prefetched on another thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidcam.engine.frames import ResizedFrames
from vidcam.engine.memory import give_back_freed_memory
from vidcam.errors import SettingsError, counted
from vidcam.models.inference import windows_at_once
from vidcam.models.preprocess import stacked
from vidcam.models.registry import Model, ModelSpec
from vidcam.temporal.stitch import at_times
from vidcam.video.clock import at_rate
from vidcam.video.prefetch import prefetch
from vidcam.video.reader import LONGEST_GAP
from vidcam.video.source import FrameSource
from vidcam.video.windows import Window, Windowing, sliding_windows, windows_with_context

Progress = Callable[[int, int], None]
"""Called with the number of frames done and the number that the header announces, 0 if it announces none."""

_FEW_STEPS = 8  # between frames; too few to measure a rate
_VARIES = 1.9  # least ratio of a clip's long steps to its short ones at which its rate is called variable
_GAP_STEPS, _GAP_SECONDS = 3, 0.2  # usual steps and seconds between two frames, beyond which a note is given
_SAME_RATE = 0.01  # share by which rates differ that are taken for the same: 29.97 and 30
_OFF = 1.3  # ratio of the rate that the network sees to the one it was trained at, beyond which a note is given
_AHEAD = 2  # prefetched batches
_GIVE_BACK_EVERY = 16  # batches; holes between small results would otherwise grow with the length of the clip


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass.

    Attributes:
        starts: frame of the loader's stream that each window begins at.
        given: the network's input, normalised, on its device: N windows (N, 3, T, H, W); or, with a `cut`, one long span
            (1, 3, L, H, W).
        cut: returns the target layer's output on the N windows, given its output on the span.
        times: (N, T) seconds of the windows' frames on the clip's clock; NaN for repeated and mirrored frames. None if
            the windows are not of a clip.
        step: seconds between the frames of a window.
    """

    starts: list[int]
    given: Tensor
    cut: Callable[[Tensor], Tensor] | None = None
    times: np.ndarray | None = None
    step: float = 0.0

    def part(self, of: slice) -> Batch:
        """Return a batch of some of the windows; for batches without a `cut`."""
        times = None if self.times is None else self.times[of]
        return Batch(self.starts[of], self.given[of], times=times, step=self.step)


class WindowLoader:
    """Loader of the windows of one source, in batches; can be read several times.

    Args:
        source: the frames.
        spec: of the network; its `preprocess` resizes the frames.
        windowing: length, stride and sampling rate of the windows.
        progress: called with the number of frames read and of those announced.
        context: True for windows that begin before the source and end after it, see `windows_with_context`.

    Attributes:
        source, windowing, context: as given.
        times: seconds of the source's frames in the last reading.
        instants: seconds of the frames that windows are cut from, by the windowing's rate; without one, the times.
        shown: index of the source frame that is shown at each instant.
        padded: number of repeated frames in its last window.
        began: time at which the loader was made, by `time.perf_counter`, in seconds.
        stages: seconds of the stages so far; the loader counts "decode_s" and "resize_s".
        explained: True if progress is of the frames that are explained, which `report` is called with, and not of those read.
    """

    def __init__(
        self,
        source: FrameSource,
        spec: ModelSpec,
        windowing: Windowing,
        progress: Progress,
        *,
        context: bool = False,
    ) -> None:
        self.source, self.windowing = source, windowing
        self.times: list[float] = []
        self.instants: list[float] = []
        self.shown: list[int] = []
        self.padded = 0
        self.explained = False
        self._reported = 0
        self.began = time.perf_counter()
        self._spec, self._progress = spec, progress
        self.context = context
        self._cut = windows_with_context if context else sliding_windows
        self._frames = ResizedFrames(source, spec.preprocess)
        self.stages = self._frames.stages

    def batches(self, model: Model, only: Collection[int] | None = None) -> Generator[Batch]:
        """Return a generator of batches, prefetched on another thread.

        Args:
            model: the network that takes the batches.
            only: starts of windows; others are left out. By default all windows are given.

        Raises:
            ClipError: while it is read: the source cannot be decoded or buffered.
        """
        windows = (w for w in self._windows() if only is None or w.start in only)
        return prefetch((self._timed(batch) for batch in batches(model, windows)), _AHEAD)

    def first(self, count: int) -> list[Window[np.ndarray]]:
        """Return the first `count` windows, or fewer if the source has fewer."""
        frames = (pixels for _, _, pixels in self._at_instants(self._frames))
        with closing(sliding_windows(frames, self.windowing)) as windows:
            return list(islice(windows, count))

    def _windows(self) -> Iterator[Window[np.ndarray]]:
        for window in self._cut(self.frames(), self.windowing):
            self.padded = max(self.padded, window.padded)
            yield window

    def _timed(self, batch: Batch) -> Batch:
        """Return the batch with the times of its frames, which have been read."""
        count, apart = len(self.instants), self.windowing.sampling_rate
        frames = [range(start, start + self.windowing.span, apart) for start in batch.starts]
        times = [[self.instants[i] if 0 <= i < count else np.nan for i in window] for window in frames]
        return replace(batch, times=np.array(times), step=apart / self._rate)

    def inside(self, starts: Sequence[int]) -> np.ndarray:
        """Return a mask, (W,) bool, of the windows that lie inside the source, given the frames they start at."""
        return np.array([0 <= start <= max(0, len(self.instants) - self.windowing.span) for start in starts])

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames that windows are cut from, resized, (h, w, 3) uint8; store times and report progress."""
        self.times, self.instants, self.shown = [], [], []
        for instant, index, pixels in self._at_instants(self._read()):
            self.instants.append(instant)
            self.shown.append(index)
            yield pixels

    def on_source(self, values: np.ndarray) -> np.ndarray:
        """Return a value for each source frame, (F, ...), of those at the instants, (I, ...); after a reading."""
        one_to_one = self.shown == list(range(len(self.times)))
        return values if one_to_one else at_times(values, self.instants, self.times)

    @property
    def _rate(self) -> float:
        """Frames per second of the stream that windows are cut from."""
        return self.windowing.rate or float(self.source.frame_rate)

    def _read(self) -> Iterator[tuple[float, np.ndarray]]:
        for seconds, pixels in self._frames:
            self.times.append(seconds)
            if not self.explained:
                self.report(len(self.times))
            yield seconds, pixels

    def report(self, frames: int) -> None:
        """Report progress to a number of frames, unless it was reported before: a second reading is no step back."""
        if frames > self._reported:
            self._reported = frames
            self._progress(frames, self.source.frames_announced)

    def _at_instants(self, frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[tuple[float, int, np.ndarray]]:
        """Yield the seconds of each instant, and the index and pixels of the source frame that it shows."""
        if self.windowing.rate is None:
            return ((seconds, index, pixels) for index, (seconds, pixels) in enumerate(frames))
        last = 0.0 if self.source.is_image else 1 / float(self.source.frame_rate)
        return at_rate(frames, self.windowing.rate, last=last, most=self.windowing.span)

    def warnings(self) -> tuple[str, ...]:
        """Return notes on the source for its user; call it after the source is read."""
        notes = [*self._about_times()]
        if self.padded:
            span = self.windowing.span * float(self.source.frame_rate) / self._rate
            notes.append(
                f"its {counted(len(self.times), 'frame')} {'is' if len(self.times) == 1 else 'are'} fewer than one window of "
                f"{max(2, round(span))}; the last frame is repeated to fill it"
            )
        name = Path(self.source.name).name
        return *self.source.warnings, *(f"{name}: {note}" for note in notes)

    def _about_times(self) -> Iterator[str]:
        """Yield a note on gaps, and one for each reason why windows differ in time from those of the training."""
        steps, trained = np.diff(self.times), self._spec.frame_rate
        if len(steps) < _FEW_STEPS:
            return
        short, usual, long = np.quantile(steps, (0.1, 0.5, 0.9))
        gaps = np.flatnonzero((steps > max(_GAP_STEPS * usual, _GAP_SECONDS)) & (steps <= LONGEST_GAP))
        if long < _VARIES * short and len(gaps):  # between frames that are otherwise a constant step apart
            at = gaps[steps[gaps].argmax()]
            yield (
                f"there is no new frame in {counted(len(gaps), 'place')}, the longest from {self.times[at]:.2f} to "
                f"{self.times[at + 1]:.2f} s; the frame before is held"
            )
        if not trained:
            return
        if self.windowing.rate is not None:
            if long * trained > _OFF:
                yield (
                    f"its frame rate is as low as {1 / long:.3g} a second, and the network was trained at {trained:.3g}; "
                    "frames are repeated, and movements between them are not seen"
                )
            return
        if short > 0 and long / short >= _VARIES:
            yield (
                f"its frame rate varies from {1 / long:.3g} to {1 / short:.3g} a second, and windows count frames: "
                "scores and times are less certain; leave out the sampling rate, and windows are cut by time"
            )
        seen = float(self.source.frame_rate) / self.windowing.sampling_rate
        if not 1 / _OFF <= seen / trained <= _OFF:
            rate = "1 frame" if f"{seen:.3g}" == "1" else f"{seen:.3g} frames"
            yield (
                f"the network sees {rate} a second and was trained at {trained:.3g}; "
                "give another sampling rate, or a clip at its rate"
            )


def windowing_of(
    frame_rate: float, spec: ModelSpec, stride: int | None, sampling_rate: int | None, *, overlap: int
) -> Windowing:
    """Return the windowing of a source for a network.

    Args:
        frame_rate: frames per second of the source.
        spec: of the network: frames per window, and the frame rate that it was trained at.
        stride: source frames between the starts of windows; by default each frame is in `overlap` windows.
        sampling_rate: source frames between the frames of a window. By default windows are cut by time, at the rate
            that the network was trained at, and frames are counted if it has none.
        overlap: number of windows that each frame is in if no stride is given.

    Returns:
        The windowing. By time it counts instants: at the source's rate if that is a multiple of the network's, so that
        each instant shows a frame of its own, and at the network's rate otherwise. A stride is rounded to instants.

    Raises:
        SettingsError: a value is not an integer of 1 or more, or the stride is longer than a window.
    """
    rate = None
    if sampling_rate is None:
        ratio = frame_rate / spec.frame_rate if spec.frame_rate else 1.0
        sampling_rate = round(ratio) if abs(ratio - round(ratio)) < _SAME_RATE * ratio else 1
        rate = sampling_rate * spec.frame_rate if spec.frame_rate else None
    span = (spec.frames - 1) * sampling_rate + 1
    if stride is None:
        return Windowing(spec.frames, max(1, span // overlap), sampling_rate, rate)
    longest = int(span * frame_rate / rate + 1e-6) if rate else span
    if stride > longest:
        raise SettingsError(
            f"stride {stride} is longer than a window of {counted(longest, 'source frame')} "
            f"({counted(spec.frames, 'frame')} "
            f"{f'at {spec.frame_rate:g} a second' if rate else f'at sampling rate {sampling_rate}'}) and would leave frames "
            f"unexplained; give a stride of at most {longest}"
        )
    return Windowing(spec.frames, max(1, round(stride * rate / frame_rate)) if rate else stride, sampling_rate, rate)


def batches(model: Model, windows: Iterable[Window[np.ndarray]]) -> Iterator[Batch]:
    """Yield windows in batches of the size that suits the model's device; return freed memory to the kernel regularly."""
    remaining, given, most = iter(windows), 0, windows_at_once(model)
    while some := list(islice(remaining, most)):
        yield Batch([w.start for w in some], network_input(model, [w.frames for w in some]))
        given += 1
        if given % _GIVE_BACK_EVERY == 0:
            give_back_freed_memory()


def network_input(model: Model, frames: Sequence[Sequence[np.ndarray]]) -> Tensor:
    """Return the network's input, (N, 3, T, H, W) on its device, from N windows of T resized frames (H, W, 3) uint8."""
    pixels = stacked(frames)
    if model.device.type == "cuda":  # uint8: a quarter of the bytes of normalised pixels
        pixels = pixels.pin_memory().to(model.device, non_blocking=True)
    return normalised(model, pixels)


def normalised(model: Model, pixels: Tensor) -> Tensor:
    """Return normalised windows, (N, 3, T, H, W) on the network's device and in its dtype, from pixels in 0..255."""
    given = torch.empty(
        pixels.shape, dtype=model.float_dtype, device=model.device, memory_format=torch.channels_last_3d
    )
    for window, its_pixels in zip(given, pixels):  # one float32 copy of a window and not of them all
        window.copy_(model.spec.preprocess.normalized(its_pixels[None])[0])
    return given
