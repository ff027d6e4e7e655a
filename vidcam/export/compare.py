"""Comparison of explanations of one clip: a film of panes side by side, a grid of frames for a paper, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vidcam.errors import SettingsError
from vidcam.export.outputs import all_or_nothing, refuse_existing
from vidcam.export.overlay import Overlay, draw_heat
from vidcam.export.panes import Pane, panes_of
from vidcam.export.playback import Film, Stills, clip_of, play
from vidcam.export.wipe import WipePage
from vidcam.results.explanation import Explanation
from vidcam.untrusted.text import fitted

_COLUMNS = 3
_WIDEST = 1920  # pixels of the film
_IN_GRID = 6  # frames


@dataclass(frozen=True)
class ComparisonOutputs:
    """The paths of the files of a comparison, and of the clip beside its page if that is too large to be part of it."""

    film: Path
    page: Path
    clip: Path
    grid: Path
    curves_svg: Path
    curves_pdf: Path

    @classmethod
    def within(cls, directory: Path) -> ComparisonOutputs:
        """Return the paths in a directory."""
        return cls(
            *(
                directory / name
                for name in ("compare.mp4", "compare.html", "compare-clip.mp4", "grid.png", "curves.svg", "curves.pdf")
            )
        )


def compare(explanations: Sequence[Explanation], directory: Path, *, overwrite: bool = False) -> ComparisonOutputs:
    """Write explanations of one clip side by side and return the paths of the files.

    Panes of the same model, layer and method have maps in one unit and share one scale of colours, so that a faint
    class looks faint beside a strong one; others are scaled each by its strongest heat.

    Args:
        explanations: two or more, of the same clip.
        directory: for compare.mp4, compare.html, grid.png, curves.svg and curves.pdf.
        overwrite: True to replace files that exist.

    Raises:
        SettingsError: there are fewer than two, or they are of different clips.
        ClipError: the clip has changed since it was explained, or is gone.
        OutputError: a file exists, or the directory cannot be written.
    """
    if len(explanations) < 2:
        raise SettingsError("one explanation cannot be compared; give several methods, classes, layers or models")
    if not overwrite:
        refuse_existing(directory, ComparisonOutputs)
    clip = clip_of(explanations)
    panes = panes_of(explanations)
    ratio = float(clip.sample_aspect_ratio)
    comparison = Comparison(panes, ratio)
    stills = Stills(frames_of_grid(explanations[0]), np.copy)
    with all_or_nothing(directory, explanations[0].file) as work:
        part = ComparisonOutputs.within(work)
        film = Film(part.film, comparison.size, comparison.draw, clip.start or 0.0)
        wipe = WipePage(panes, clip, part.clip, directory)
        play(explanations[0], clip, [film, *wipe.films], [stills, *wipe.looks])
        part.page.write_text(wipe.html(), encoding="utf-8")
        grid_figure(panes, stills.found, ratio).savefig(part.grid)
        curves = curves_figure(panes)
        curves.savefig(part.curves_svg)
        curves.savefig(part.curves_pdf)
    return ComparisonOutputs.within(directory)


class Comparison:
    """The frames of a comparison film.

    Args:
        panes: of one clip.
        sample_aspect_ratio: width of a pixel over its height.

    Attributes:
        size: (height, width) of a drawn frame in pixels, both even.
    """

    def __init__(self, panes: Sequence[Pane], sample_aspect_ratio: float = 1.0) -> None:
        self._overlays = [Overlay(p.explanation, sample_aspect_ratio, title=p.heading, peak=p.peak) for p in panes]
        self._columns = min(_COLUMNS, len(panes))
        height, width = self._overlays[0].size
        shrink = min(1.0, _WIDEST / self._columns / width)
        self._cell = tuple(max(2, int(side * shrink) // 2 * 2) for side in (height, width))
        self.size = self._cell[0] * ceil(len(panes) / self._columns), self._cell[1] * self._columns

    def draw(self, pixels: np.ndarray, frame: int) -> np.ndarray:
        """Return the panes of one frame, (*size, 3) uint8 RGB, given its upright pixels (H, W, 3) uint8 RGB."""
        sheet = np.zeros((*self.size, 3), np.uint8)
        height, width = self._cell
        for index, overlay in enumerate(self._overlays):
            row, column = divmod(index, self._columns)
            picture = overlay.draw(pixels, frame)
            if picture.shape[:2] != self._cell:
                picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
        return sheet


def grid_figure(panes: Sequence[Pane], stills: Mapping[int, np.ndarray], sample_aspect_ratio: float = 1.0) -> Figure:
    """Return a figure with a row for each pane and a column for each frame, at 300 dots per inch.

    A row is labelled by its title and its probability, or value, in the clip; above stands what the panes share.

    Args:
        panes: of one clip.
        stills: frame → its upright pixels (H, W, 3) uint8 RGB, those of `frames_of_grid`.
        sample_aspect_ratio: width of a pixel over its height.
    """
    first, chosen = panes[0].explanation, sorted(stills)
    shape = first.size[1] * sample_aspect_ratio / first.size[0]
    aspect = min(8.0, max(0.125, shape))  # of a cell
    figure = Figure(figsize=(1.6 * aspect * len(chosen) + 0.5, 1.6 * len(panes) + 0.6), dpi=300, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panes), len(chosen), squeeze=False)
    for row, pane in enumerate(panes):
        for column, index in enumerate(chosen):
            cell = axes[row, column]
            cell.imshow(draw_heat(stills[index], pane.explanation, index, pane.peak), aspect=1 / sample_aspect_ratio)
            cell.set_xticks([])
            cell.set_yticks([])
            for spine in cell.spines.values():
                spine.set_visible(False)
            if row == 0:
                cell.set_title(f"{first.times[index]:.2f} s", fontsize=8)
        lines = [
            *pane.title.split(" · "),
            pane.explanation.target.named(),
        ]  # one beside the other they are higher than a row
        axes[row, 0].set_ylabel("\n".join(lines), fontsize=8, parse_math=False)
    figure.suptitle(_common(panes), fontsize=8, x=0.01, ha="left", parse_math=False)
    return figure


def _common(panes: Sequence[Pane]) -> str:
    """Return what all panes share: class, model, method and layer, and the clip; above, that they mean nothing."""
    shared = []
    for words in zip(*((e.target.label, e.model, e.method, e.layer) for e in (p.explanation for p in panes))):
        shared += [words[0]] if len(set(words)) == 1 else []
    first = panes[0].explanation
    facts = " · ".join([fitted(word, 60) for word in [*shared, Path(first.clip).name]])
    cautions = dict.fromkeys(p.explanation.meaningless.upper() for p in panes if p.explanation.meaningless)
    return "\n".join([*cautions, facts])


def frames_of_grid(explanation: Explanation) -> list[int]:
    """Return the frames in the middle of equal shares of the evidence of a clip, in time."""
    share = np.cumsum(explanation.evidence + 1e-12)
    count = min(_IN_GRID, explanation.frames)
    at = np.searchsorted(share, share[-1] * (np.arange(count) + 0.5) / count)
    return sorted({int(i) for i in at})


def curves_figure(panes: Sequence[Pane]) -> Figure:
    """Return a figure with a row for each pane: score as a line, evidence as an area on the scale of its unit."""
    figure = Figure(figsize=(7, 0.5 + 1.1 * len(panes)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(panes), 1, sharex=True, squeeze=False)[:, 0]
    warm = matplotlib.colormaps["inferno"](0.62)
    for axes, pane in zip(rows, panes):
        curve = pane.explanation.curve
        low, high = (0.0, 1.0) if pane.explanation.target.is_probability else (None, None)
        axes.plot(curve.time, curve.score, color="#1b1b24", linewidth=1.2)
        axes.set_ylim(low, high)
        behind = axes.twinx()
        behind.fill_between(curve.time, curve.evidence / (pane.highest or 1.0), color=warm, alpha=0.45, linewidth=0)
        behind.set_ylim(0, 1.05)
        behind.set_yticks([])
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.set_title(pane.title, loc="left", fontsize=8, parse_math=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
            behind.spines[side].set_visible(False)
    rows[-1].set_xlabel("time (s)")
    return figure
