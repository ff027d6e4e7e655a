"""Tubes as files: JSON, and the overlay with a box around each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from vidcam.export.exchange import TUBES, files_of
from vidcam.export.outputs import all_or_nothing, refuse, refuse_existing
from vidcam.export.overlay import Overlay
from vidcam.export.playback import Film, play
from vidcam.export.strip import GROUND
from vidcam.export.text import text_width, write_text
from vidcam.results.explanation import Explanation
from vidcam.temporal.segments import frame_edges
from vidcam.temporal.tubes import Tube
from vidcam.untrusted.text import as_json

SHOWN = 8
"""Largest number of tubes that are drawn, the best ones; the JSON has all."""


@dataclass(frozen=True)
class TubeOutputs:
    """The paths of the files of tubes."""

    tubes: Path
    film: Path

    @classmethod
    def within(cls, directory: Path) -> TubeOutputs:
        """Return the paths in a directory."""
        return cls(directory / "tubes.json", directory / "tubes.mp4")


def save_tubes(
    explanation: Explanation,
    tubes: Sequence[Tube],
    directory: Path,
    *,
    tools: Sequence[str] = (),
    overwrite: bool = False,
) -> TubeOutputs:
    """Write the tubes of an explanation as tubes.json and tubes.mp4 and return their paths.

    Args:
        explanation: of a clip.
        tubes: best first; the film shows the first `SHOWN`.
        directory: made if it does not exist.
        tools: keys of `vidcam.export.exchange.TUBES`, whose files are written, too.
        overwrite: True to replace files that exist.

    Raises:
        SettingsError: there is no such tool.
        OutputError: one of them exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip has changed or is gone.
    """
    others = files_of(tools, TUBES, directory)
    if not overwrite:
        refuse_existing(directory, TubeOutputs)
        refuse(directory, others)
    clip = explanation.opened()
    overlay = Overlay(explanation, float(clip.sample_aspect_ratio))
    shown = tubes[:SHOWN]

    def draw(pixels: np.ndarray, frame: int) -> np.ndarray:
        return with_boxes(overlay.draw(pixels, frame), overlay, shown, frame)

    edges = frame_edges(explanation.times)
    facts = {
        "clip": explanation.clip,
        "size": list(explanation.size),
        "model": explanation.model,
        "method": explanation.method,
        "layer": explanation.layer,
        "tubes": [
            {
                "label": tube.label,
                "score": round(tube.score, 5),
                "start_frame": tube.start,
                "end_frame": tube.end,
                "start_s": round(float(edges[tube.start]), 5),
                "end_s": round(float(edges[tube.end]), 5),
                "boxes": tube.boxes.round(2).tolist(),
            }
            for tube in tubes
        ],
    }
    with all_or_nothing(directory, explanation.file) as work:
        part = TubeOutputs.within(work)
        part.tubes.write_text(as_json(facts) + "\n", encoding="utf-8")
        for tool in tools:
            name, write = TUBES[tool]
            write(explanation, tubes, work / name)
        play(explanation, clip, [Film(part.film, overlay.size, draw, clip.start or 0.0)])
    return TubeOutputs.within(directory)


def with_boxes(picture: np.ndarray, overlay: Overlay, tubes: Sequence[Tube], frame: int) -> np.ndarray:
    """Draw the boxes of a frame's tubes into its overlay, each tube in its own colour, and return the picture.

    Args:
        picture: (H, W, 3) uint8 RGB, drawn by the overlay; changed in place.
        overlay: places the boxes.
        tubes: of the clip.
        frame: index of the frame.
    """
    line = max(2, round(overlay.size[1] / 320))
    text = max(12, round(overlay.size[1] / 36))
    for number, tube in enumerate(tubes):
        if tube.start <= frame < tube.end:
            red, green, blue = (round(255 * c) for c in matplotlib.colormaps["Set2"](number % 8)[:3])
            first, last = overlay.corners(tube.boxes[frame - tube.start])
            cv2.rectangle(picture, first, last, (red, green, blue), line, cv2.LINE_AA)
            _write_label(picture, f"{number + 1}  confidence {tube.score:.2f}", first, text, (red, green, blue))
    return picture


def _write_label(picture: np.ndarray, text: str, at: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Write dark text on a ground of a light colour into a picture, its top left corner at a pixel (x, y)."""
    margin = round(size / 4)
    left = max(0, min(at[0], picture.shape[1] - text_width(text, size) - 2 * margin))
    top = max(0, at[1])
    last = left + text_width(text, size) + 2 * margin - 1, top + size + 2 * margin - 1
    cv2.rectangle(picture, (left, top), last, colour, -1)
    write_text(picture, text, (left + margin, top + margin + size // 2), size, GROUND, anchor="lm")
