"""The trunk run once over a long span, windows cut from what it gives: overlapping windows share their trunk.

This is another computation than window by window, not the same one faster: the zeros that pad both ends of a window
are gone, and a window that begins between two steps of the layer gets steps interpolated between them. How far the
two agree is measured on the clip's first windows.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidcam.ahead import ahead
from vidcam.allocator import give_back_freed_memory
from vidcam.errors import LayerError
from vidcam.models.inference import windows_at_once
from vidcam.models.registry import Model
from vidcam.reading import Batch, Progress, Reading, network_input
from vidcam.video.source import FrameSource
from vidcam.video.windows import Span, Windowing, long_spans

if TYPE_CHECKING:
    from vidcam.fidelity import Agreement

_LONGEST = 32  # windows, end to end, in a span
_SHORTEST = 4


class DenseReading(Reading):
    """A clip cut into long spans.

    Attributes:
        steps: in time, that the target layer gives for one window.
        agreement: with window by window, once it has been measured.
    """

    def __init__(self, clip: FrameSource, model: Model, windowing: Windowing, progress: Progress, steps: int) -> None:
        super().__init__(clip, model, windowing, progress)
        self.steps = steps
        self.agreement: Agreement | None = None

    def batches(self, only: Collection[int] | None = None) -> Generator[Batch]:
        """Spans of the clip with the windows in them, or those of the windows that start at the given frames."""
        return ahead(self._spans(only), 1)

    def _spans(self, only: Collection[int] | None) -> Iterator[Batch]:
        window = self.windowing.length
        # A span is one row of the batch: as long as so many windows, it takes as much memory.
        several = max(_SHORTEST, min(_LONGEST, 8 * windows_at_once(self.model)))
        for span in long_spans(self.frames(), self.windowing, several * window, max(1, window // self.steps)):
            self.padded = span.padded
            starts = [s for s in span.starts if only is None or s in only]
            if starts:
                cut = partial(cut_windows, span=span, starts=starts, windowing=self.windowing, steps=self.steps)
                yield Batch(starts, network_input(self.model, [span.frames]), cut)
            give_back_freed_memory()

    def warnings(self) -> tuple[str, ...]:
        """And how far dense agrees with window by window."""
        notes = super().warnings()
        if self.agreement is None:
            return notes
        top = "the same top classes" if self.agreement.same_top else "other top classes"
        found = f"maps correlate by {self.agreement.correlation:.3f} with those window by window, {top}"
        return (*notes, f"dense: on the clip's first windows {found}")

    def computation(self) -> dict[str, Any]:
        """And how far dense agrees with window by window."""
        agreement = None if self.agreement is None else self.agreement.correlation
        return {**super().computation(), "dense": True, "dense_agreement": agreement}


def cut_windows(output: Tensor, *, span: Span[Any], starts: list[int], windowing: Windowing, steps: int) -> Tensor:
    """A layer's output on a span, (1, C, T, H, W), to that of windows in it, (N, C, steps, H, W).

    Raises:
        LayerError: the layer's steps do not grow with the frames of the span.
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
