from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidcam.captioning import LAYER, explain_caption, teacher_forced_model
from vidcam.errors import ModelError, SettingsError, TargetError
from vidcam.explainer import explain
from vidcam.playground.captioner import TeacherForced, load_captioner
from vidcam.playground.captions import FRAMES, captioned_scene
from vidcam.playground.clips import write_clip
from vidcam.playground.networks import PREPROCESS
from vidcam.recipe import Recipe
from vidcam.results.caption import Caption
from vidcam.video.reader import Clip

SEED, INDEX = 12, 0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("described") / "clip.mp4"
    write_clip(captioned_scene(SEED, INDEX).scene, path, size=112)
    return path


@pytest.fixture(scope="module")
def caption(clip: Path) -> Caption:
    return explain_caption(clip)


def test_the_sentence_and_its_words_in_order(caption: Caption) -> None:
    described = captioned_scene(SEED, INDEX)
    assert caption.words == described.words
    assert tuple(e.target.label for e in caption.by_word) == described.words
    assert all(0 < e.target.probability <= 1 for e in caption.by_word)
    assert caption.whole.target.label == " ".join(described.words)


def test_words_are_explained_by_whom_they_speak_of(caption: Caption) -> None:
    described = captioned_scene(SEED, INDEX)
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
    assert explain_caption(clip, sentence="white").words == ("white",)
    with pytest.raises(TargetError, match="does not know 'purple'"):
        explain_caption(clip, sentence="the purple figure")
    with pytest.raises(SettingsError, match="a sentence of 0 words"):
        explain_caption(clip, sentence=" ")


@pytest.fixture(scope="module")
def two_scenes() -> np.ndarray:
    """The frames of two described scenes, one after the other."""
    scenes = [captioned_scene(SEED, index).scene for index in (0, 3)]
    return np.stack([scene.render(t, 112) for scene in scenes for t in range(scene.frames)])


@pytest.mark.slow
@pytest.mark.parametrize("backward", [False, True])
def test_of_several_windows_the_most_probable_sentence_is_explained(two_scenes: np.ndarray, backward: bool) -> None:
    half = len(two_scenes) // 2
    frames = np.concatenate([two_scenes[half:], two_scenes[:half]]) if backward else two_scenes
    captioner = load_captioner()
    sentences, probable = [], []
    for start in range(0, half + 1, FRAMES // 2):
        window = PREPROCESS.windows([[PREPROCESS.frame(f) for f in frames[start : start + FRAMES]]])
        (words,) = captioner.describe(window)
        forced = TeacherForced(captioner, [captioner.index(w) for w in words], captioner.index(captioner.end))
        sentences.append(words)
        probable.append(forced(window).mean().item())
    assert sentences[0] != sentences[-1]  # and in one of the two orders the last is not the best
    best = sentences[int(np.argmax(probable))]
    found = explain_caption(frames, recipe=Recipe(dtype="float32", frame_rate=16))
    assert found.words == best
    assert found.whole.window_starts.tolist() == [0, FRAMES // 2, FRAMES]
    for index, word in enumerate(found.by_word):
        assert word.target.label == best[index] and word.top == ()


def test_words_and_sentence_are_those_of_the_teacher_forced_model(caption: Caption, clip: Path) -> None:
    model = teacher_forced_model(load_captioner(), caption.words)
    window = PREPROCESS.windows([[PREPROCESS.frame(f.pixels) for f in Clip(clip)]])
    log_probabilities = model.network(window)[0].detach().numpy()
    found = [word.target.probability for word in caption.by_word]
    np.testing.assert_allclose(found, np.exp(log_probabilities), rtol=1e-3)
    assert caption.whole.target.probability == pytest.approx(log_probabilities.mean(), abs=1e-4)
    (word, *_), index = caption.by_word, 0
    expected = explain(clip, model, index, layer=LAYER, dtype="float32")
    np.testing.assert_allclose(word.maps, expected.maps, rtol=1e-3, atol=1e-6)


def test_a_captioner_that_says_nothing(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = load_captioner()
    monkeypatch.setattr(type(captioner), "describe", lambda self, windows: [()] * len(windows))
    with pytest.raises(ModelError, match=r"writes no sentence for clip\.mp4; give a sentence to explain"):
        explain_caption(clip, captioner)


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_captioner("none.safetensors")
