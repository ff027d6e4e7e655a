"""Films for slides: copies of an overlay in other formats, sizes and rates, and its highlights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from vidcam.export.overlay import Overlay
from vidcam.export.playback import Copy
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import Explanation
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, SegmentParams, distinct, frame_edges, segments_of
from vidcam.video.source import FrameSource
from vidcam.video.writer import even

RATE, WIDTH = 10, 640
"""Frames per second and pixels, at most, of GIF and WebP films if none are given."""

MOST = 5
"""Largest number of segments in the highlights."""

_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class SlideOutputs:
    """The paths of further files of an explanation, which are written if its `Drawing` says so.

    Attributes:
        webm, gif, webp: copies of the overlay film.
        png: a grid of the strongest frames.
        highlights: the strongest segments as a film; not written if there is no heat.
    """

    webm: Path
    gif: Path
    webp: Path
    png: Path
    highlights: Path

    @classmethod
    def within(cls, directory: Path) -> SlideOutputs:
        """Return the paths in a directory."""
        names = ("overlay.webm", "overlay.gif", "overlay.webp", "strongest.png", "highlights.mp4")
        return cls(*(directory / name for name in names))

    def wanted(self, drawing: Drawing, *, image: bool = False) -> dict[str, Path]:
        """Return the paths that the settings ask for, by name; of a picture the grid alone."""
        names = [name for name in drawing.formats if name != "mp4" and (name == "png" or not image)]
        names += ["highlights"] if drawing.highlights and not image else []
        return {name: getattr(self, name) for name in names}


def copies_of(overlay: Overlay, directory: Path, clip: FrameSource) -> list[Copy]:
    """Return the copies of an overlay film that its settings ask for.

    Args:
        overlay: of the clip.
        directory: of the files.
        clip: the frames; their rate is the default.
    """
    explanation, drawing = overlay.explanation, overlay.explanation.drawing
    height, width = overlay.size
    found = []
    for name, path in SlideOutputs.within(directory).wanted(drawing).items():
        if name == "highlights":
            pts = frames_of_highlights(explanation)
            if pts:
                found.append(Copy(path, overlay.size, pts, _MILLISECOND, clip.frame_rate))
        elif name != "png":
            rate = drawing.film_rate or (None if name == "webm" else min(RATE, float(clip.frame_rate)))
            wide = min(width, drawing.film_width or (width if name == "webm" else WIDTH))
            size = even(height * wide / width), even(wide)
            shown = clip.frame_rate if rate is None else Fraction(rate).limit_denominator(1000)
            found.append(Copy(path, size, frames_at(explanation.times, rate), _MILLISECOND, shown))
    return found


def frames_at(times: np.ndarray, rate: float | None) -> dict[int, int]:
    """Return the frames of a film of a constant rate, and the millisecond that each is shown at, from 0 on.

    A frame that would be shown several times is shown longer. No two frames have the same millisecond.

    Args:
        times: (F,) seconds, rising.
        rate: frames per second; None for every frame at its own time.

    Example:
        >>> frames_at(np.arange(6) / 25, 10)
        {0: 0, 2: 100, 5: 200}
    """
    since = times - times[0]
    if rate is None:
        shown, at = np.arange(len(times)), since
    else:
        lasts = frame_edges(times)[-1] - times[0]
        at = np.arange(max(1, ceil(lasts * rate - 1e-6))) / rate
        shown = np.searchsorted(since, at + 1e-6, side="right") - 1
    found: dict[int, int] = {}
    last = -1
    for frame, second in zip(shown.tolist(), at.tolist()):
        if frame not in found and round(1000 * second) > last:
            found[frame] = last = round(1000 * second)
    return found


def highlights(explanation: Explanation) -> list[Segment]:
    """Return the strongest segments of an explanation in the order of time, `MOST` at most; [] if there is no heat.

    They are cut from the score and evidence combined, as a report cuts them; if that has none, or the score is no
    probability, from the evidence alone.
    """
    label, times = explanation.target.label, explanation.times
    if not explanation.evidence.any() or explanation.frames < 2:
        return []
    found: list[Segment] = []
    if explanation.target.is_probability:
        found = distinct(segments_of(combined_curve(explanation.scores, explanation.evidence), times, label))
    if not found:
        share = explanation.evidence / explanation.evidence.max()
        found = distinct(segments_of(share, times, label, SegmentParams(shortest=0.0, least=0.0)), least=0.0)
    return sorted(found[:MOST], key=lambda s: s.start)


def frames_of_highlights(explanation: Explanation) -> dict[int, int]:
    """Return the frames of the highlights, and the millisecond that each is shown at: one segment follows the other."""
    edges = frame_edges(explanation.times)
    found: dict[int, int] = {}
    begins = 0.0
    for segment in highlights(explanation):
        first, last = np.searchsorted(edges, (segment.start - 1e-6, segment.end - 1e-6)).tolist()
        for frame in range(first, last):
            found[frame] = round(1000 * (begins + edges[frame] - edges[first]))
        begins += float(edges[last] - edges[first])
    return found
