from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidcam.captioning import Caption, explain_caption, load_captioner
from vidcam.errors import ModelError, SettingsError, TargetError
from vidcam.export.caption import save_caption, sentence_strip
from vidcam.playground.captions import described_scene
from vidcam.playground.clips import write_clip
from vidcam.video.reader import Clip

SEED, INDEX = 12, 0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("described") / "clip.mp4"
    write_clip(described_scene(SEED, INDEX).scene, path, size=112)
    return path


@pytest.fixture(scope="module")
def caption(clip: Path) -> Caption:
    return explain_caption(clip)


def test_the_sentence_and_its_words_in_order(caption: Caption) -> None:
    described = described_scene(SEED, INDEX)
    assert caption.words == described.words
    assert tuple(e.target.label for e in caption.by_word) == described.words
    assert all(0 < e.target.probability <= 1 for e in caption.by_word)
    assert caption.whole.target.label == " ".join(described.words)


def test_words_are_explained_by_whom_they_speak_of(caption: Caption) -> None:
    described = described_scene(SEED, INDEX)
    ids = np.zeros((described.scene.frames, 112, 112), np.uint8)
    for t in range(described.scene.frames):
        described.scene.render(t, 112, ids[t])
    actor, others = ids == described.act.figure + 1, (ids > 0) & (ids != described.act.figure + 1)
    for kind in ("colour", "place", "action"):
        word = caption.by_word[described.about.index(kind)]
        heat = np.stack([word.heatmap(t) for t in range(word.frames)])
        assert heat[actor].mean() > 2 * heat[others].mean(), kind


@pytest.mark.slow
def test_another_sentence_can_be_explained(clip: Path) -> None:
    told = explain_caption(clip, sentence="the short white figure")
    assert told.words == ("the", "short", "white", "figure") and len(told.by_word) == 4
    with pytest.raises(TargetError, match="does not know 'purple'"):
        explain_caption(clip, sentence="the purple figure")
    with pytest.raises(SettingsError, match="a sentence of 0 words"):
        explain_caption(clip, sentence=" ")


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_captioner("none.safetensors")


@pytest.mark.slow
def test_the_film_shows_the_clip_once_for_each_word(caption: Caption, tmp_path: Path) -> None:
    film = Clip(save_caption(caption, tmp_path))
    frames = [(frame.time, frame.pixels[-40:]) for frame in film]
    count = len(caption.words)
    assert len(frames) == count * 48
    np.testing.assert_allclose(np.diff([t for t, _ in frames]), 1 / 16, atol=1e-3)
    strips = [frames[48 * word + 10][1].astype(int) for word in range(count)]
    for word in range(1, count):
        assert np.abs(strips[word] - strips[word - 1]).max() > 60, "another word is lit"


def test_long_sentences_take_more_lines() -> None:
    words = ["word"] * 30
    first, last = (sentence_strip(words, lit, 300).astype(int) for lit in (0, 29))
    assert first.shape == last.shape and first.shape[0] > 3 * sentence_strip(["word"], 0, 300).shape[0]
    rows = np.nonzero(np.abs(first - last).max((1, 2)) > 30)[0]
    assert rows[0] < 30 and rows[-1] > first.shape[0] - 30
