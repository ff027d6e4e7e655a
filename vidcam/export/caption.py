"""Captions as a film: the clip once per word with that word's heatmap, and the sentence with the word highlighted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vidcam.export.outputs import all_or_nothing, refuse_existing
from vidcam.export.overlay import Overlay
from vidcam.export.page import Page, PageOutputs
from vidcam.export.playback import Film, clip_of, play
from vidcam.export.strip import GROUND
from vidcam.export.text import text_width, write_text
from vidcam.results.caption import Caption
from vidcam.video.writer import join_films

_LIT, _DIM = (255, 214, 120), (125, 125, 138)


@dataclass(frozen=True)
class CaptionOutputs:
    """The paths of the files of a caption: the film, and the page of its words."""

    film: Path
    report: Path

    @classmethod
    def within(cls, directory: Path) -> CaptionOutputs:
        """Return the paths in a directory."""
        return cls(directory / "caption.mp4", PageOutputs.within(directory).page)


def save_caption(caption: Caption, directory: Path, *, overwrite: bool = False) -> CaptionOutputs:
    """Write a caption as caption.mp4 and report.html and return their paths; the clip is decoded once.

    The film shows the clip once for each word of the sentence, without sound; each word's heat is scaled to its own
    maximum. The page shows the words and the sentence.

    Args:
        caption: of a clip.
        directory: made if it does not exist.
        overwrite: True to replace files that exist.

    Raises:
        OutputError: a file exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip has changed, is gone, or can be read once only.
    """
    if not overwrite:
        refuse_existing(directory, CaptionOutputs, PageOutputs)
    explanations = [*caption.by_word, caption.whole]
    clip = clip_of(explanations)
    begins = float(caption.whole.times[0])
    step = max(1, round(1 / (clip.frame_rate * clip.time_base))) * clip.time_base
    with all_or_nothing(directory, caption.whole.file) as work, TemporaryDirectory(dir=work) as folder:
        films = []
        for lit, explanation in enumerate(caption.by_word):
            overlay = Overlay(explanation, float(clip.sample_aspect_ratio))
            sentence = sentence_strip(caption.words, lit, overlay.size[1])
            size = overlay.size[0] + len(sentence), overlay.size[1]
            films.append(Film(Path(folder, f"{lit}.mp4"), size, _above(sentence, overlay), begins, sound=False))
        page = Page(explanations, clip, work, directory)
        play(caption.whole, clip, [*films, *page.films], page.looks)
        join_films([film.path for film in films], CaptionOutputs.within(work).film, step)
        page.write()
    return CaptionOutputs.within(directory)


def _above(sentence: np.ndarray, overlay: Overlay) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda pixels, frame: np.concatenate([overlay.draw(pixels, frame), sentence])


def sentence_strip(words: Sequence[str], lit: int, width: int) -> np.ndarray:
    """Return a picture of the sentence with one word highlighted: (h, width, 3) uint8 RGB, h even.

    Args:
        words: the sentence, broken into as many lines as needed.
        lit: index of the highlighted word.
        width: in pixels.
    """
    size = max(13, round(width / 30))
    gap, margin, line = round(size * 0.35), round(size / 4), round(size * 1.5)
    places: list[tuple[int, int]] = []
    x, row = margin, 0
    for word in words:
        wide = text_width(word, size)
        if x > margin and x + wide > width - margin:
            x, row = margin, row + 1
        places.append((x, row))
        x += wide + gap
    height = (row + 1) * line + 2 * margin
    strip = np.full((height + height % 2, width, 3), GROUND, np.uint8)
    for number, (word, (x, row)) in enumerate(zip(words, places)):
        colour = _LIT if number == lit else _DIM
        write_text(strip, word, (x, margin + row * line + line // 2), size, colour, anchor="lm")
    return strip
