"""Write docs/networks.md: kinds of networks, and the share of a map on evidence that is planted in the clip.

    python scripts/networks.py [--only NAME...]

A clip is dark but for one place and one time of the target layer's grid. The network's weights make its brightness the
score of class 1. A row is right if at least 0.9 of the heat of `vidcam.explain` lies on that place, and at least 0.9 on
that time. A network that cannot be explained must be refused in words. The command ends with 1 if a row is wrong.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from kinds import KINDS, Kind
from small_networks import RATE

import vidcam
from vidcam.errors import VidcamError
from vidcam.fit import layers_of

ENOUGH = 0.9
"""Share of the heat that lies on the planted place, and on the planted time, in a row that is right."""

HEAD = """# Kinds of networks

Written by `python scripts/networks.py`, which ends with 1 if a row is wrong.

In each clip one place is bright at one time, and the weights of the network make its brightness the score. Networks by
name are shown windows of the size that the script gives them, whose black is 0.

- grid: time x height x width of the target layer's map; of several layers, that of the one with the fewest steps.
- place: the share of the heat of `vidcam.explain` that lies on the bright place.
- time: the share that lies on the bright step, and half a step before and after it, which heat is interpolated over; a dash
  where the layer has one step.
- outcome: *right*, if both are at least {enough}; *refused*, where a network cannot be explained as it is given, with the
  error; *WRONG*.

The weights pass brightness on from the middle of each kernel, and attention passes tokens on but for the last one, so that
the truth is known. In a trained network a place of the grid has seen its receptive field, and behind attention the whole
window: a map then shows which place of the layer mattered, and evidence may lie beside it.

{counts}.

| network | layer | grid | place | time | outcome | said |
|---|---|---|--:|--:|---|---|
"""


@dataclass
class Row:
    """The outcome of a kind.

    Attributes:
        layer: names of the target layers.
        grid: (T, H, W) of the map of the layer with the fewest steps.
        place: share of the heat on the planted place.
        time: share of the heat on the planted time; None if the layer has one step.
        said: the warnings, or the error.
        outcome: right, refused or WRONG.
    """

    layer: str = ""
    grid: tuple[int, int, int] | None = None
    place: float = 0.0
    time: float | None = None
    said: str = ""
    outcome: str = "WRONG"

    def line(self, name: str) -> str:
        """Return the line of the table."""
        grid = "x".join(map(str, self.grid)) if self.grid else ""
        measured = (
            ["", ""] if self.grid is None else [f"{self.place:.2f}", "—" if self.time is None else f"{self.time:.2f}"]
        )
        layers = ", ".join(f"`{layer}`" for layer in self.layer.split(",") if layer)
        return f"| {name} | {layers} | {grid} | {' | '.join(measured)} | {self.outcome} | {self.said or 'nothing'} |\n"


def measured(kind: Kind) -> Row:
    """Explain the clip of a kind, and return where and when the heat lies."""
    try:
        model = kind.load()
        method = model.spec.default_method if model.spec.layer else "gradcam++"  # which is refused without layers
        layers, found = model.spec.layer_for(method), layers_of(model)
        t, h, w = min((found[layer].shape[1:] for layer in layers.split(",") if layer in found), default=(1, 1, 1))
        clip, (step, row, column) = planted(model.spec.frames, model.spec.preprocess.crop, (t, h, w), kind.lit)
        target, rate = kind.target, model.spec.frame_rate or RATE
        if isinstance(target, str):
            target = target.replace("TIME", f"{step * model.spec.frames / t / rate}")
        explanation = vidcam.explain(clip, model, target, method=method, context=False, frame_rate=rate)
    except VidcamError as error:
        right = bool(kind.refused) and kind.refused in str(error)
        return Row(said=str(error).replace("|", "\\|"), outcome="refused" if right else "WRONG")
    heat, per_step = explanation.maps, len(explanation.maps) / t
    on_time = (
        heat[max(0, round((step - 0.5) * per_step)) : round((step + 1.5) * per_step)] if per_step > 1 else heat[step]
    )
    total = float(heat.sum()) or 1.0
    done = Row(layers, (t, h, w), float(heat[:, row, column].sum()) / total, said="; ".join(explanation.warnings))
    done.time = float(on_time.sum()) / total if t > 1 else None
    if min(done.place, 1.0 if done.time is None else done.time) >= ENOUGH and not kind.refused:
        done.outcome = "right"
    return done


def planted(
    frames: int, size: tuple[int, int], grid: tuple[int, int, int], part: tuple[float, float]
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return a dark clip, (T, H, W, 3) uint8, with one bright place, and its (step, row, column).

    Args:
        frames: T.
        size: (H, W) in pixels.
        grid: steps, rows and columns.
        part: of the place and the step that is bright, from a share of it to another.
    """
    cell = grid[0] // 2, grid[1] // 3, 2 * grid[2] // 3
    lit = []
    for index, parts, length in zip(cell, grid, (frames, *size)):
        first, last = (int((index + share) * length / parts) for share in part)
        lit.append(slice(first, max(first + 1, last)))
    clip = np.zeros((frames, *size, 3), np.uint8)
    clip[tuple(lit)] = 255
    return clip, cell


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table, or print the lines that are named; return 1 if a row is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="Print only the lines of these names.")
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    lines, outcomes = [], Counter[str]()
    for kind in KINDS:
        if given.only and kind.name not in given.only:
            continue
        row = measured(kind)
        outcomes[row.outcome] += 1
        lines.append(row.line(kind.name))
        print(lines[-1], end="", flush=True)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"\n{counts}")
    if not given.only:
        page = HEAD.format(enough=ENOUGH, counts=counts) + "".join(lines)
        Path(__file__).parents[1].joinpath("docs", "networks.md").write_text(page, encoding="utf-8")
    return 1 if outcomes["WRONG"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
