"""Live run: a source, a network and the drawing of overlays, each on a thread of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full, Queue
from threading import Thread
from types import TracebackType

from vidcam.live.causal import CausalExplanation
from vidcam.live.clock import Clock
from vidcam.live.cutting import cut
from vidcam.live.frame import LiveFrame
from vidcam.live.network import LiveNetwork
from vidcam.live.overlay import LiveOverlay
from vidcam.live.ring import Ring
from vidcam.live.segments import OnlineSegment
from vidcam.live.source import LiveSource, Note
from vidcam.live.step import Step
from vidcam.live.summary import Summary
from vidcam.models.preprocess import Preprocess
from vidcam.results.drawing import Drawing
from vidcam.video.windows import Windowing

STALLED = 2.0
"""Seconds without a frame after which a source is said to give none."""

_DRAWN = 8  # steps that wait for whoever reads them
_LOOK_EVERY = 0.25  # seconds, at the clock, while nothing comes


def warn(note: str) -> None:
    """Give a note on a source as a Python warning."""
    warnings.warn(note, stacklevel=2)


class Live:
    """A live run. Iterating over it gives a `Step` for each frame; closing it ends its threads.

    Args:
        source: of the frames.
        clock: of the run.
        network: explains windows.
        causal: makes steps.
        preprocess: of the network.
        windowing_at: returns the windowing for a frame rate.
        drawing: of the overlays.
        seconds: after which the run ends; None for the end of the source.
        note: called with what happens to the source, from another thread.

    Attributes:
        name: of the source.
        summary: counts and delays so far.
        last_segments: segments that were open when the source ended.
    """

    def __init__(
        self,
        source: LiveSource,
        clock: Clock,
        network: LiveNetwork,
        causal: CausalExplanation,
        preprocess: Preprocess,
        windowing_at: Callable[[float], Windowing],
        drawing: Drawing = Drawing(),
        *,
        seconds: float | None,
        note: Note,
    ) -> None:
        self.name, self._source, self._clock = source.name, source, clock
        self._network, self._causal, self._preprocess = network, causal, preprocess
        self._windowing_at, self._drawing, self._note = windowing_at, drawing, note
        self._until = None if seconds is None else clock.now() + seconds
        self.summary = Summary()
        self.last_segments: tuple[OnlineSegment, ...] = ()
        self._state = "waiting for the first frame"
        self._error: BaseException | None = None
        self._ring = Ring(clock, skips=source.paced)
        self._steps: Queue[Step] = Queue(_DRAWN)
        stages = {"decode": self._decode, "network": self._explain, "draw": self._draw}
        self._threads = [
            Thread(target=self._guarded, args=(stage,), name=f"vidcam-live-{name}", daemon=True)
            for name, stage in stages.items()
        ]
        for thread in self._threads:
            thread.start()

    @property
    def state(self) -> str:
        """The state of the source in a few words: "running", or what it waits for."""
        return self._state

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps, each as soon as it is drawn, until the run ends.

        Raises:
            VidcamError: the source can never be read, or the network cannot explain it.
        """
        drawing = self._threads[-1]
        while True:
            try:
                yield self._steps.get(timeout=_LOOK_EVERY)
            except Empty:
                if not drawing.is_alive() and self._steps.empty():
                    break
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the run. A thread that waits for bytes of a stream ends when these come or are given up."""
        self._clock.stop()
        self._ring.fail()
        for thread in self._threads:
            while thread is self._threads[-1] and thread.is_alive():  # it may be waiting for room
                with suppress(Empty):
                    self._steps.get(timeout=0.02)
            thread.join(2.0)

    def _guarded(self, stage: Callable[[], None]) -> None:
        """Run a stage; its error ends the run and is raised to whoever reads the steps."""
        try:
            stage()
        except BaseException as error:
            if self._error is None:
                self._error = error
            self._clock.stop()
            self._ring.fail()

    def _decode(self) -> None:
        try:
            cut(self._in_time(), self._ring, self._preprocess, self._windowing_at)
        finally:
            self._ring.end()

    def _in_time(self) -> Iterator[LiveFrame]:
        for frame in self._source.frames():
            if self._is_over:
                return
            yield frame

    def _explain(self) -> None:
        while (window := self._ring.take()) is not None:
            self._ring.explained(self._network.explain(window))
            for text in self._network.new_notes():
                self._note(text)

    def _draw(self) -> None:
        overlays, stretch = LiveOverlay(self._preprocess, self._drawing), -1
        while not self._ring.is_over:
            found = self._ring.next(_LOOK_EVERY)
            self._watch()
            if found is None:
                continue
            placed, windows = found
            step = self._causal.step(placed, windows, self._clock.now())
            overlay = overlays.draw(step)
            now = self._clock.now()
            step = replace(step, overlay=overlay, delay=now - step.frame.captured)
            self.summary.shown(now, step.delay, explained=step.scores is not None)
            self.summary.windows += len(step.windows)
            self.summary.skipped = self._ring.windows_skipped
            self.summary.stretches += step.frame.stretch != stretch
            stretch = step.frame.stretch
            self._give(step)
        self.last_segments = self._causal.end()

    def _give(self, step: Step) -> None:
        while not self._clock.stopped:
            with suppress(Full):
                self._steps.put(step, timeout=_LOOK_EVERY)
                return

    def _watch(self) -> None:
        """Say once that no frame comes, and once that they come again; end a run whose time is over."""
        waited = self._clock.now() - self._ring.arrived
        if self._is_over and waited > STALLED:  # the thread that decodes is waiting for bytes
            self._ring.end()
        if not self.summary.frames:
            return
        stalled = self._state.startswith("no frame")
        if waited <= STALLED or not self._source.paced:
            if stalled:
                self._note(f"{self.name}: frames come again")
            self._state = "running"
            return
        if not stalled:
            self._note(f"{self.name}: no frame for {waited:.0f} s; it is waited for")
        self._state = f"no frame for {waited:.0f} s"

    @property
    def _is_over(self) -> bool:
        return self._until is not None and self._clock.now() >= self._until
