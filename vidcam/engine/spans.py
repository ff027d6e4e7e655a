"""Span loader: the trunk runs once over a long span, and windows are cut from its output.

Overlapping windows share the trunk's output. The result approximates the one window by window: the zero padding at both
ends of a window is missing, and a window that begins between two steps of the layer gets steps interpolated between
them. The agreement of the two is measured on the clip's first windows.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vidcam.engine.agreement import Agreement, agreement
from vidcam.engine.attribution import Attributed, Attributor
from vidcam.engine.loader import Batch, Progress, WindowLoader, network_input
from vidcam.engine.memory import give_back_freed_memory
from vidcam.errors import LayerError
from vidcam.models.inference import windows_at_once
from vidcam.models.registry import Model, ModelSpec
from vidcam.video.prefetch import prefetch
from vidcam.video.source import FrameSource
from vidcam.video.windows import Span, Windowing, long_spans

_LONGEST = 32  # windows, end to end, in a span
_SHORTEST = 4
_CHECKED = 2  # windows that are computed both densely and one by one


class SpanLoader(WindowLoader):
    """Loader of the windows of one source in long spans.

    Args:
        source, spec, windowing, progress: as for `WindowLoader`.
        steps: number of steps in time of the target layer's output on one window; see `vidcam.models.inference.steps_of`.
    """

    def __init__(
        self, source: FrameSource, spec: ModelSpec, windowing: Windowing, progress: Progress, steps: int
    ) -> None:
        super().__init__(source, spec, windowing, progress)
        self._steps = steps

    def batches(self, model: Model, only: Collection[int] | None = None) -> Generator[Batch]:
        """Return a generator of batches, one span each, prefetched on another thread. Arguments as for `WindowLoader`."""
        return prefetch(self._spans(model, only), 1)

    def _spans(self, model: Model, only: Collection[int] | None) -> Iterator[Batch]:
        window, steps = self.windowing.length, self._steps
        # A span is one row of the batch; it takes as much memory as the windows that it is as long as.
        several = max(_SHORTEST, min(_LONGEST, 8 * windows_at_once(model)))
        for span in long_spans(self.frames(), self.windowing, several * window, max(1, window // steps)):
            self.padded = span.padded
            starts = [s for s in span.starts if only is None or s in only]
            if starts:
                cut = partial(cut_windows, span=span, starts=starts, windowing=self.windowing, steps=steps)
                yield self._timed(Batch(starts, network_input(model, [span.frames]), cut))
            give_back_freed_memory()


def dense_agreement(loader: WindowLoader, attributor: Attributor, batch: Batch, dense: Attributed) -> Agreement:
    """Return the agreement of the maps computed densely with those window by window, on a clip's first windows.

    Args:
        loader: of the clip.
        attributor: computes the maps window by window.
        batch: the loader's first batch.
        dense: its probabilities and maps.
    """
    few = slice(_CHECKED)
    first = Attributed(dense.probabilities[few], dense.curves[few], dense.maps[few])
    frames = [window.frames for window in loader.first(_CHECKED)]
    times = None if batch.times is None else batch.times[few]
    exact = Batch(batch.starts[few], network_input(attributor.model, frames), times=times, step=batch.step)
    again = attributor.maps(exact, lambda p: [list(m) for m in first.maps])
    return agreement(again, first)


def cut_windows(output: Tensor, *, span: Span[Any], starts: list[int], windowing: Windowing, steps: int) -> Tensor:
    """Return a layer's output on the windows of a span, (N, C, steps, H, W).

    Args:
        output: the layer's output on the span, (1, C, T, H, W).
        span: the frames.
        starts: source frame that each of the N windows begins at.
        windowing: of the clip.
        steps: number of steps in time of a window.

    Raises:
        LayerError: the number of the layer's steps is not proportional to the frames of the span.
    """
    expected = -(-len(span.frames) * steps // windowing.length)
    if output.ndim != 5 or output.shape[2] != expected:
        raise LayerError(
            f"the target layer gives {tuple(output.shape)} for a span of {len(span.frames)} frames, where {expected} "
            "steps in time were expected; this network has to be explained window by window, without dense"
        )
    begins = torch.tensor(starts, dtype=torch.float64) / windowing.sampling_rate - span.first
    at = begins[:, None] * steps / windowing.length + torch.arange(steps, dtype=torch.float64)
    at = at.clamp(max=expected - 1)
    before, share = at.floor().long().to(output.device), (at % 1).to(output)
    after = (before + 1).clamp(max=expected - 1)
    share = share.view(1, 1, len(starts), steps, 1, 1)
    cut = output[:, :, before] * (1 - share) + output[:, :, after] * share  # (1, C, N, steps, H, W)
    return cut[0].transpose(0, 1)
