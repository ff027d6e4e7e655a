"""A caption as a film: word after word the clip with that word's heat, the sentence below it and the word lit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from vidcam.export.outputs import all_or_nothing, refuse
from vidcam.export.overlay import Overlay, explained_frames, text_width, write_text
from vidcam.results.caption import Caption
from vidcam.video.writer import FilmWriter

FILM = "caption.mp4"
_LIT, _DIM, _GROUND = (255, 214, 120), (125, 125, 138), (18, 18, 24)


def refuse_existing(directory: Path) -> None:
    """Check before any work is done that nothing would be overwritten.

    Raises:
        OutputError: the film is there, or the directory cannot be one.
    """
    refuse(directory, [directory / FILM])


def save_caption(caption: Caption, directory: Path, *, overwrite: bool = False) -> Path:
    """Write caption.mp4: the clip once for each word, in the order of the sentence, without sound.

    Heat is scaled to the strongest of each word.

    Raises:
        OutputError: it exists and `overwrite` is not set, or the directory cannot be written.
        ClipError: the clip has changed or is gone.
    """
    if not overwrite:
        refuse_existing(directory)
    clip = caption.whole.opened()
    overlays = [Overlay(e, float(clip.sample_aspect_ratio)) for e in caption.by_word]
    height, width = overlays[0].size
    sentences = [sentence_strip(caption.words, lit, width) for lit in range(len(caption.words))]
    size = height + sentences[0].shape[0], width
    with all_or_nothing(directory) as work:
        begin = 0
        with FilmWriter(
            work / FILM, size, time_base=clip.time_base, frame_rate=clip.frame_rate, colour=clip.colour
        ) as film:
            for explanation, overlay, sentence in zip(caption.by_word, overlays, sentences):
                first: int | None = None
                step = round(1 / (clip.frame_rate * clip.time_base))
                with closing(explained_frames(explanation, clip)) as frames:
                    for frame in frames:
                        first = frame.pts if first is None else first
                        last = begin + frame.pts - first
                        film.write(np.concatenate([overlay.draw(frame.pixels, frame.index), sentence]), last)
                begin = last + max(1, step)
    return directory / FILM


def sentence_strip(words: Sequence[str], lit: int, width: int) -> np.ndarray:
    """The sentence with one word lit, in as many lines as it takes: (h, width, 3) uint8 RGB, h even."""
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
    strip = np.full((height + height % 2, width, 3), _GROUND, np.uint8)
    for number, (word, (x, row)) in enumerate(zip(words, places)):
        colour = _LIT if number == lit else _DIM
        write_text(strip, word, (x, margin + row * line + line // 2), size, colour, anchor="lm")
    return strip
