"""Text drawn into pictures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont


def text_width(text: str, size: int) -> int:
    """Return the width of a text in pixels, given its size in pixels."""
    return round(_font(size).getlength(text))


def write_text(
    image: np.ndarray, text: str, at: tuple[int, int], size: int, colour: tuple[int, int, int], *, anchor: str
) -> None:
    """Draw text into an (H, W, 3) uint8 RGB image in place, its size in pixels, placed by a Pillow anchor."""
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).text(at, text, fill=colour, font=_font(size), anchor=anchor)
    image[:] = np.asarray(canvas)


def fitted(text: str, width: int, size: int) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
