from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import numbered, write_video
from tests.results.test_explanation import explanation
from vidcam.errors import ClipError, OutputError
from vidcam.export.caption import save_caption, sentence_strip
from vidcam.export.overlay import Overlay
from vidcam.export.text import text_width
from vidcam.results.caption import Caption
from vidcam.results.explanation import ExplainedTarget
from vidcam.video.reader import Clip

FRAMES, SIZE = 8, (280, 400)
PTS = [5, 6, 7, 9, 10, 12, 13, 14]  # tenths of a second
WORDS = ("the", "red", "figure", "waves")
LIT, DIM = (255, 214, 120), (125, 125, 138)


def _caption(folder: Path, name: str = "clip.mp4", codec: str = "libx264") -> Caption:
    """Words whose heat lies in the first, second, … quarter of the picture, from left to right."""
    clip = write_video(folder / name, [numbered(i, *SIZE) for i in range(FRAMES)], codec=codec, pts=PTS, audio="aac")
    found = []
    for number, word in enumerate([*WORDS, " ".join(WORDS)]):
        maps = np.zeros((FRAMES, 1, 4))
        maps[:, 0, number % 4] = np.linspace(0.2, 1, FRAMES)
        target = ExplainedTarget(number if number < 4 else None, word, 0.5)
        found.append(
            explanation(maps, clip=clip, size=SIZE, target=target, times=np.array([f.time for f in Clip(clip)]))
        )
    return Caption(WORDS, tuple(found[:4]), found[4])


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.avi", "mpeg4")])
def test_the_film_shows_the_clip_once_for_each_word(
    tmp_path: Path, decoded: Callable[[], int], name: str, codec: str
) -> None:
    caption = _caption(tmp_path, name, codec)
    before = decoded()
    outputs = save_caption(caption, tmp_path / "out")
    assert decoded() - before == FRAMES
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["caption.mp4", "report.html"]
    film, times = Clip(outputs.film), caption.whole.times
    frames = list(film)
    assert not film.has_audio and film.codec == "h264" and len(frames) == len(WORDS) * FRAMES
    one, step = times - times[0], float(1 / Clip(caption.whole.clip).frame_rate)
    expected = [word * (one[-1] + step) + one for word in range(len(WORDS))]
    np.testing.assert_allclose([f.time for f in frames], np.concatenate(expected), atol=1e-4)
    pictures = [frame.pixels for frame in Clip(caption.whole.clip)]
    for frame in frames:
        word, index = divmod(frame.index, FRAMES)
        overlay = Overlay(caption.by_word[word])
        sentence = sentence_strip(WORDS, word, overlay.size[1])
        drawn = np.concatenate([overlay.draw(pictures[index], index), sentence])
        assert frame.pixels.shape == drawn.shape
        assert _yellow(frame.pixels[-len(sentence) :]) == pytest.approx(_yellow(sentence), abs=6), "the lit word"
        assert np.abs(frame.pixels.astype(int) - drawn).mean() < 3, (word, index)
    page = outputs.report.read_text(encoding="utf-8")
    assert all(f">{word}<" in page for word in [*WORDS, " ".join(WORDS)])


def _yellow(strip: np.ndarray) -> float:
    """The middle of what is yellow, in pixels from the left."""
    weights = (strip[..., 0].astype(int) - strip[..., 2]).clip(40).sum(0) - 40 * len(strip)
    return float((weights * np.arange(len(weights))).sum() / weights.sum())


def _coloured(strip: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The columns that hold a colour."""
    columns: np.ndarray = np.nonzero((np.abs(strip.astype(int) - colour).max(2) < 12).any(0))[0]
    return columns


@pytest.mark.parametrize("lit", range(4))
def test_the_word_is_lit_and_no_other(lit: int) -> None:
    strip = sentence_strip(WORDS, lit, 400)
    alone = [sentence_strip(WORDS[: n + 1], n, 400) for n in range(4)]  # where the last of some words lies
    bright = _coloured(strip, LIT)
    np.testing.assert_array_equal(bright, _coloured(alone[lit], LIT))
    dim = _coloured(strip, DIM)
    assert ((dim < bright[0]).any() == (lit > 0)) and ((dim > bright[-1]).any() == (lit < 3))
    assert not ((dim > bright[0] + 1) & (dim < bright[-1] - 1) & ~np.isin(dim, bright)).any()


def test_long_sentences_take_more_lines() -> None:
    words = ["word"] * 30
    first, last = (sentence_strip(words, lit, 300).astype(int) for lit in (0, 29))
    assert first.shape == last.shape and first.shape[0] > 3 * sentence_strip(["word"], 0, 300).shape[0]
    rows = np.nonzero(np.abs(first - last).max((1, 2)) > 30)[0]
    assert rows[0] < 30 and rows[-1] > first.shape[0] - 30


@pytest.mark.parametrize("width", [200, 300, 480, 900])
def test_words_stay_between_the_margins_and_lines_are_as_full_as_they_can_be(width: int) -> None:
    size = max(13, round(width / 30))
    margin, gap, line = round(size / 4), round(0.35 * size), round(1.5 * size)
    words = [f"word{'m' * (n % 5)}" for n in range(20)]
    strip = sentence_strip(words, 0, width).astype(int)
    inked = np.abs(strip - (18, 18, 24)).max(2) > 12
    columns = np.flatnonzero(inked.any(0))
    assert columns[0] >= margin - 1 and columns[-1] <= width - margin
    rows, x = [[]], margin  # type: ignore[var-annotated]
    for word in words:
        if rows[-1] and x + text_width(word, size) > width - margin:
            rows.append([])
            x = margin
        rows[-1].append(x)
        x += text_width(word, size) + gap
    height = len(rows) * line + 2 * margin
    assert strip.shape == (height + height % 2, width, 3)
    for number, starts in enumerate(rows):
        part = inked[margin + number * line : margin + (number + 1) * line]
        for start in starts:
            assert part[:, start : start + size].any() and not part[:, max(0, start - gap + 2) : start - 1].any()


def test_a_word_wider_than_the_film_begins_the_first_line() -> None:
    strip = sentence_strip(["m" * 100, "b"], 1, 200).astype(int)
    assert (np.abs(strip[:20] - (18, 18, 24)).max(2) > 12).any() and len(strip) < 60


@pytest.mark.parametrize("name", ["caption.mp4", "report.html"])
def test_nothing_is_overwritten_unasked(tmp_path: Path, name: str) -> None:
    caption, out = _caption(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / name).write_text("old")
    with pytest.raises(OutputError, match=f"already holds {name}"):
        save_caption(caption, out)
    assert [p.name for p in out.iterdir()] == [name]
    save_caption(caption, out, overwrite=True)
    assert (out / name).stat().st_size > 1000


def test_nothing_is_left_of_a_caption_of_a_clip_that_changed(tmp_path: Path) -> None:
    caption = _caption(tmp_path)
    write_video(tmp_path / "clip.mp4", [numbered(i, *SIZE) for i in range(5)])
    with pytest.raises(ClipError, match="5 of 8 frames match"):
        save_caption(caption, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
