"""The temporal curve as a picture and as a table."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vidcam.results.explanation import Explanation

_SIZE = (8.0, 3.0)  # of the figure, in inches
_BELOW, _ABOVE = 0.158, 0.92  # where axes begin and end, as shares of the figure's height
_BESIDE, _DIGIT = 25 / 72, 6.4 / 72  # inches beside axes, and for each character of the longest number of their ticks


def write_curve_csv(explanation: Explanation, path: Path) -> None:
    """Write the curve as CSV, a row per source frame: frame, time_s, score, evidence (raw, in the unit of the maps).

    An explanation with a motion share has a fifth column, motion_share; it is empty where the share is undefined.
    """
    curve, motion = explanation.curve, explanation.motion
    shares = [] if motion is None else ["" if np.isnan(v) else f"{v:.6g}" for v in motion.frames]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", "score", "evidence", *(["motion_share"] if shares else [])])
        for i, (frame, time, score, evidence) in enumerate(zip(curve.frame, curve.time, curve.score, curve.evidence)):
            writer.writerow([frame, f"{time:.6f}", f"{score:.6g}", f"{evidence:.6g}", *shares[i : i + 1]])


def curve_figure(explanation: Explanation) -> Figure:
    """Return a figure of `plot_curve`."""
    figure = Figure(figsize=_SIZE, dpi=150)
    FigureCanvasAgg(figure)
    plot_curve(explanation, figure.add_subplot())
    # A constrained layout finds these margins by drawing everything twice.
    left, right = ((_BESIDE + _DIGIT * _longest_number(axes)) / _SIZE[0] for axes in figure.axes)
    figure.subplots_adjust(left=left, right=1 - right, bottom=_BELOW, top=_ABOVE)
    return figure


def _longest_number(axes: Axes) -> int:
    """Return the characters of the longest number beside the ticks of a vertical axis."""
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    return max(map(len, axes.yaxis.get_major_formatter().format_ticks(ticks)), default=0)


def plot(explanation: Explanation, axes: Axes | None) -> Axes:
    """Draw the curve into axes, or into those of a new figure, and return them; `Explanation.plot` calls it."""
    if axes is None:
        from matplotlib import pyplot  # which looks for a screen

        _, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
    plot_curve(explanation, axes)
    return axes


def plot_curve(explanation: Explanation, axes: Axes) -> None:
    """Draw the score as a line on [0, 1] and the evidence as an area in its own unit, over seconds.

    The motion share, where there is one, is a dashed line on [0, 1].
    """
    curve = explanation.curve
    warm = matplotlib.colormaps[explanation.drawing.colormap](0.62)
    held = axes.twinx()
    held.fill_between(curve.time, curve.evidence, color=warm, alpha=0.45, linewidth=0)
    held.set_ylim(0, (explanation.highest or 1.0) * 1.05)
    held.set_ylabel("evidence (mean of the raw map)", color=warm)
    held.tick_params(axis="y", colors=warm)
    axes.plot(curve.time, curve.score, color="#1b1b24", linewidth=1.6)
    low, high = (0.0, 1.02) if explanation.target.is_probability else (None, None)
    axes.set_ylim(low, high)
    axes.set_xlim(curve.time[0], curve.time[-1] if explanation.frames > 1 else curve.time[0] + 1)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(f"value ({explanation.target.unit})" if explanation.target.unit else "score", parse_math=False)
    axes.set_zorder(held.get_zorder() + 1)
    axes.patch.set_visible(False)
    for name in ("top",):
        axes.spines[name].set_visible(False)
        held.spines[name].set_visible(False)
    if explanation.motion is not None:
        axes.plot(curve.time, explanation.motion.frames, color="#3b6fb6", linewidth=1.2, linestyle="--")
    title = f"{explanation.title}  ({explanation.target.written()})"
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.set_title(
        f"{explanation.model} · {explanation.layer} · {explanation.method}",
        loc="right",
        fontsize=8,
        color="#60606c",
        parse_math=False,
    )
