"""Figures of evaluations: faithfulness, spatial localization and sanity checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]
"""Records of `vidcam.evaluation.run.measure_clips`."""


def faithfulness_figure(records: Records) -> Figure:
    """Return a figure of confidence over deletion and insertion, and of drops in confidence, by explanation."""
    figure, (left, middle, right) = _axes(3)
    for axes, which in ((left, "deletion"), (middle, "insertion")):
        for name, style in _styles(records).items():
            curve = np.mean([f[name][f"{which}_curve"] for f in _figures(records)], axis=0)
            axes.plot(np.linspace(0, 100, len(curve)), curve, label=name, **style)
        axes.set(title=which, xlabel=f"% of the voxels {'deleted' if which == 'deletion' else 'inserted'}", ylim=(0, 1))
        axes.set_ylabel("confidence in the class")
    left.legend(fontsize=7, frameon=False)
    _distributions(right, records, "average_drop", "drop in confidence (%)")
    return figure


def pointing_figure(records: Records) -> Figure:
    """Return a figure of pointing game, energy inside and overlap, distributed over the clips, by explanation."""
    figure, (left, middle, right) = _axes(3)
    _distributions(left, records, "pointing_game", "pointing game, share of frames")
    _distributions(middle, records, "energy_inside", "energy inside the acting figure")
    _distributions(right, records, "saliency_iou", "saliency IoU")
    return figure


def sanity_figure(records: Records, stages: Sequence[str]) -> Figure:
    """Return a figure of the rank correlation with the original map under randomised weights, and of the controls.

    Args:
        records: of the clips.
        stages: names of the randomised parts, the output first.
    """
    figure, (left, middle, right) = _axes(3)
    for name, style in _styles(records).items():
        means = [np.mean([f[name][f"randomised_{i + 1}"] for f in _figures(records)]) for i in range(len(stages))]
        left.plot(range(len(stages)), means, label=name, marker="o", markersize=3, **style)
    left.set_xticks(range(len(stages)), stages, rotation=45, ha="right", fontsize=7)
    left.axhline(0, color="#c8c8d0", linewidth=0.8, zorder=0)
    left.set(title="weights randomised down to", ylabel="rank correlation with the map")
    left.set_ylim(top=1.02)
    left.legend(fontsize=7, frameon=False)
    _distributions(middle, records, "other_class", "rank correlation with the map of the runner-up")
    _distributions(right, records, "frozen_evidence", "evidence of the frozen clip ÷ of the clip", most=2.0)
    return figure


def _axes(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(4.2 * count, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    found = figure.subplots(1, count)
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def _figures(records: Records) -> list[Mapping[str, Mapping[str, Any]]]:
    return [record["figures"] for record in records if "figures" in record]


def _styles(records: Records) -> dict[str, dict[str, Any]]:
    """Return a line style for each explanation: methods in colour, baselines dashed and grey."""
    from vidcam.metrics.baselines import BASELINES

    names = list(_figures(records)[0])
    methods = [name for name in names if name not in BASELINES]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, max(1, len(methods))))
    styles: dict[str, dict[str, Any]] = {m: {"color": c, "linewidth": 1.8} for m, c in zip(methods, colours)}
    baselines = [name for name in names if name in BASELINES]
    greys = np.linspace(0.25, 0.7, max(1, len(baselines)))
    return styles | {t: {"color": str(g), "linewidth": 1, "linestyle": "--"} for t, g in zip(baselines, greys)}


def _distributions(axes: Axes, records: Records, measure: str, title: str, most: float = np.inf) -> None:
    """Draw a row for each explanation: a box of the middle half of the clips, its median, and every clip as a dot."""
    rng = np.random.default_rng(0)
    styles = _styles(records)
    for row, (name, style) in enumerate(styles.items()):
        values = np.array([f[name][measure] for f in _figures(records)]).clip(max=most)
        axes.plot(
            values,
            row + rng.uniform(-0.3, 0.3, len(values)),
            linestyle="",
            marker=".",
            markersize=2,
            color=style["color"],
            alpha=0.4,
        )
        axes.boxplot(
            values,
            positions=[row],
            orientation="horizontal",
            widths=0.62,
            showfliers=False,
            medianprops={"color": "#d1495b", "linewidth": 2},
        )
    axes.set_yticks(range(len(styles)), list(styles), fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9)
