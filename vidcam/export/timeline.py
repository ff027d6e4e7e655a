"""The timeline: the curves and segments of all classes of a localization as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vidcam.metrics.localization import Truth
from vidcam.results.localization import Localization
from vidcam.temporal.segments import distinct, frame_edges
from vidcam.untrusted.text import fitted


def timeline_figure(found: Localization, truths: Sequence[Truth] = ()) -> Figure:
    """Return a figure with a row for each class: its curve as an area, distinct segments as bars, truths as outlines.

    All rows share one scale, which is at the right; a bar has the score of its segment above it.

    Args:
        found: the localization; the opacity of a segment's bar is its score relative to the highest.
        truths: annotated actions in seconds; those of other clips are left out.
    """
    truths = [t for t in truths if t.video == Path(found.clip).stem]
    labels = list(dict.fromkeys([*found.labels, *(t.label for t in truths)]))
    figure = Figure(figsize=(9, 0.9 + 0.55 * len(labels)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.8, max(len(labels), 2)))
    curves = dict(zip(found.labels, found.curves()))
    edges = frame_edges(found.times)
    highest = max((float(c.max(initial=0)) for c in curves.values()), default=0.0) or 1.0
    shown = distinct(found.segments)
    strongest = max((s.score for s in shown), default=1.0)
    for row, (label, colour) in enumerate(zip(labels, colours)):
        base = len(labels) - 1 - row
        if label in curves:
            axes.fill_between(found.times, base, base + 0.62 * curves[label] / highest, color=colour, alpha=0.35, lw=0)
            axes.plot(found.times, base + 0.62 * curves[label] / highest, color=colour, lw=1)
        for s in (s for s in shown if s.label == label):
            axes.broken_barh(
                [(s.start, s.end - s.start)], (base + 0.68, 0.14), color=colour, alpha=0.15 + 0.85 * s.score / strongest
            )
            axes.text((s.start + s.end) / 2, base + 0.84, f"{s.score:.2f}", ha="center", fontsize=6.5, color="#40404c")
        for t in (t for t in truths if t.label == label):
            axes.broken_barh(
                [(t.start, t.end - t.start)], (base + 0.65, 0.2), facecolor="none", edgecolor="black", lw=1
            )
        axes.axhline(base, color="#d0d0d8", lw=0.6, zorder=0)
    axes.set_yticks([len(labels) - 1 - row + 0.3 for row in range(len(labels))], labels, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.05, len(labels) + 0.15)  # with room for the confidence above the first row
    rows = [len(labels) - 1 - labels.index(label) for label in found.labels]
    scale = axes.secondary_yaxis("right")
    scale.set_yticks([row + top for row in rows for top in (0, 0.62)], ["0", f"{highest:.2g}"] * len(rows), fontsize=7)
    scale.tick_params(length=2, color="#60606c", labelcolor="#60606c")
    scale.spines["right"].set_visible(False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("time (s)")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    facts = f"{found.model} · {found.layer} · {found.method} · {found.curve} curve, at most {highest:.2g}"
    axes.set_title(fitted(Path(found.clip).name, 60), loc="left", fontsize=11, parse_math=False)
    axes.set_title(facts, loc="right", fontsize=8, color="#60606c", parse_math=False)
    return figure
