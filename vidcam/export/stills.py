"""Stills: the strongest frames of an explanation as a figure for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vidcam.export.overlay import draw_heat
from vidcam.results.explanation import Explanation
from vidcam.untrusted.text import fitted

_COLUMNS, _MOST = 3, 6
_WIDTH = 7.0  # inches


def strongest_frames(explanation: Explanation, most: int = _MOST) -> list[int]:
    """Return the frames with the most evidence, in the order of time, a tenth of the clip or more apart.

    Frames with a quarter of the highest evidence or less are left out; without any evidence it is the frame in the middle.

    Args:
        explanation: of a clip.
        most: largest number of frames.
    """
    evidence, times = explanation.evidence, explanation.times
    apart, least = (times[-1] - times[0]) / 10, evidence.max(initial=0.0) / 4
    found: list[int] = []
    for frame in np.argsort(-evidence, kind="stable"):
        if len(found) == most or evidence[frame] <= least:
            break
        if all(abs(times[frame] - times[other]) >= apart for other in found):
            found.append(int(frame))
    return sorted(found) or [explanation.frames // 2]


def stills_figure(
    explanation: Explanation, stills: Mapping[int, np.ndarray], sample_aspect_ratio: float = 1.0
) -> Figure:
    """Return a figure of frames with their heat, times and scores, and a colour bar in the unit of the maps, at 300 dpi.

    Args:
        explanation: of the clip.
        stills: frame → its upright pixels (H, W, 3) uint8 RGB.
        sample_aspect_ratio: width of a pixel over its height.
    """
    chosen = sorted(stills)
    columns = min(_COLUMNS, len(chosen))
    rows = ceil(len(chosen) / columns)
    height, width = explanation.size
    aspect = min(8.0, max(0.125, width * sample_aspect_ratio / height))  # of a cell
    high = rows * (0.88 * _WIDTH / columns / aspect + 0.2) + 0.5
    figure = Figure(figsize=(_WIDTH, min(high, 40.0)), dpi=300, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for cell in axes.flat:
        cell.set_axis_off()
    target = explanation.target
    for cell, index in zip(axes.flat, chosen):
        cell.imshow(draw_heat(stills[index], explanation, index, explanation.peak), aspect=1 / sample_aspect_ratio)
        score = target.written(float(explanation.scores[index]))
        cell.set_title(f"{explanation.times[index]:.2f} s, {score}", fontsize=8, parse_math=False)
    colours = ScalarMappable(Normalize(0, explanation.peak or 1.0), matplotlib.colormaps[explanation.drawing.colormap])
    bar = figure.colorbar(colours, ax=axes, shrink=0.8, aspect=30, pad=0.01)
    bar.set_label("heat (raw)", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    title = f"{fitted(explanation.title, 80)}, {target.named()}"
    facts = (
        f"{explanation.model} · {explanation.method} · {explanation.layer} · {fitted(Path(explanation.clip).name, 60)}"
    )
    caution = f"{explanation.meaningless.upper()}\n" if explanation.meaningless else ""
    figure.suptitle(f"{caution}{title}\n{facts}", fontsize=8, x=0.01, ha="left", parse_math=False)
    return figure
