"""Causal explanation: the steps of a stream, each from what was seen before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidcam.engine.attribution import Key
from vidcam.live.hysteresis import LabelHysteresis
from vidcam.live.ring import PlacedFrame
from vidcam.live.scale import DecayingPeak
from vidcam.live.segments import OnlineSegment, OnlineSegments
from vidcam.live.step import Step
from vidcam.live.window import ExplainedWindow, stitched
from vidcam.models.registry import Model


class CausalExplanation:
    """The explanation of a stream, frame by frame.

    Heat and scores around a frame are those of the windows that hold it, stitched as for a clip. What a clip takes from
    its whole length is causal here: the scale of the colours is a decaying peak, the shown class changes with hysteresis,
    and segments are opened and closed as the frames come.

    Segments are cut from the probability of each class but the background. Those of a clip use the evidence too, divided
    by its largest value in the clip; a scale that is still growing would open segments wherever a class begins to be seen.
    A network that gives values has no segments, and a target that is no class has none.

    Args:
        model: the network; its labels, background class and kind of scores.
        target: the explained target; None for the class that is shown.
        label: of the target.
    """

    def __init__(self, model: Model, target: Key | None, label: str) -> None:
        self._model, self._target, self._label = model, target, label
        self._hysteresis = LabelHysteresis()
        self._scale = DecayingPeak()
        self._segments = OnlineSegments()
        self._stretch = 0
        self._time = 0.0
        self._seen: tuple[int, int] = (-1, -1)  # stretch and start of the newest window

    def step(self, placed: PlacedFrame, windows: Sequence[ExplainedWindow], now: float) -> Step:
        """Return the next frame's step, without an overlay.

        Args:
            placed: the frame and its place.
            windows: explained ones of its stretch, also later ones.
            now: seconds on the monotonic clock.
        """
        frame = placed.frame
        closed: list[OnlineSegment] = []
        if frame.stretch != self._stretch:
            closed += self._segments.end(self._time)
        self._stretch, self._time = frame.stretch, frame.time
        scores = stitched([(w, w.curves) for w in windows], placed.position)
        key, label = self._shown(scores, frame.time)
        heat = None
        if key is not None and scores is not None:
            heat = stitched([(w, w.maps.get(key)) for w in windows], placed.position)
        score = self._score(key, scores, windows, placed.position)
        delay = now - frame.captured
        if scores is not None:
            closed += self._segments.update(self._curves(scores), frame.time, delay)
        new = tuple(w for w in windows if (w.stretch, w.start) > self._seen)
        if new:
            self._seen = new[-1].stretch, new[-1].start
        return Step(
            frame=frame,
            label=label,
            score=score,
            scores=scores,
            heat=heat,
            evidence=0.0 if heat is None else float(heat.mean()),
            scale=self._scale.update(0.0 if heat is None else float(heat.max()), frame.time),
            segments=self._segments.open,
            closed=tuple(closed),
            windows=new,
            delay=delay,
        )

    def end(self) -> tuple[OnlineSegment, ...]:
        """Close the segments that are open at the end of the stream, and return them."""
        return tuple(self._segments.end(self._time))

    def _shown(self, scores: np.ndarray | None, seconds: float) -> tuple[Key | None, str]:
        """Return the explained target and its label; None before the first window is explained."""
        if self._target is not None:
            return self._target, self._label
        if scores is None:
            shown = self._hysteresis.shown
        else:
            shown = self._hysteresis.update(scores, seconds)
        return shown, "" if shown is None else self._model.labels[shown]

    def _score(
        self, key: Key | None, scores: np.ndarray | None, windows: Sequence[ExplainedWindow], position: float
    ) -> float | None:
        if key is None or scores is None:
            return None
        if isinstance(key, int):
            return float(scores[key])
        found = stitched([(w, w.scores.get(key)) for w in windows], position)
        return None if found is None else float(found)

    def _curves(self, scores: np.ndarray) -> dict[str, float]:
        """Return the score of each class whose segments are found."""
        model = self._model
        if model.spec.probabilities is None or (self._target is not None and not isinstance(self._target, int)):
            return {}
        found = [self._target] if isinstance(self._target, int) else range(len(scores))
        return {model.labels[k]: float(scores[k]) for k in found if k != model.background or k == self._target}
