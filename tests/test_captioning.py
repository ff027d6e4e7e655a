from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import write_video
from vidcam.captioning import LAYER, explain_caption, teacher_forced_model
from vidcam.errors import ModelError, SettingsError, TargetError
from vidcam.explainer import explain
from vidcam.playground.captioner import Captioner, TeacherForced, load_captioner
from vidcam.playground.captions import FRAMES, captioned_scene
from vidcam.playground.clips import write_clip
from vidcam.playground.domain import PREPROCESS
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
    return explain_caption(clip, recipe=Recipe(dtype="float32", context=False))


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


class Colours(Captioner):
    """A captioner of one sentence for each colour: how red, green or blue a window is, word after word.

    Word n is as probable as the colour that it belongs to is strong, in every place of a sentence.
    """

    sentences = (("red",), ("a", "green", "one"), ())

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.vocabulary, self.end, self.longest = ("red", "a", "green", "one", "."), ".", 4
        self.pool, self.seen = nn.AvgPool3d((12, 28, 28)), nn.ReLU()
        self.strength = nn.Parameter(torch.tensor(2.0))
        belong = [[1.0, 0, 0, 0, 0], [0, 1, 1.05, 0.95, 0], [0, 0, 0, 0, 1]]
        self.register_buffer("belong", torch.tensor(belong))

    def forward(self, windows: Tensor, words: Tensor) -> Tensor:
        colours = self.seen(self.pool(windows)).mean((2, 3, 4)) * self.strength
        return (colours @ self.belong).log_softmax(1)[:, None].expand(-1, words.shape[1], -1)

    def describe(self, windows: Tensor) -> list[tuple[str, ...]]:
        return [self.sentences[int(w.mean((1, 2, 3)).argmax())] for w in windows]


def _plain(*colours: tuple[int, int, int]) -> np.ndarray:
    """Half a window of frames of each colour."""
    return np.repeat(np.array(colours, np.uint8), FRAMES // 2, axis=0)[:, None, None] * np.ones((112, 112, 1), np.uint8)


def _forced(frames: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    """The log-probability of each word in the window of these frames."""
    captioner = Colours()
    window = PREPROCESS.windows([[PREPROCESS.frame(f) for f in frames]])
    forced = TeacherForced(captioner, [captioner.index(w) for w in words], captioner.index(captioner.end))
    with torch.no_grad():
        return forced(window)[0].numpy()


RED, GREEN, BLUE = (140, 130, 130), (60, 250, 60), (0, 0, 250)


@pytest.mark.parametrize("backward", [False, True])
def test_of_several_windows_the_most_probable_sentence_is_explained(backward: bool) -> None:
    colours = [RED, RED, GREEN, GREEN, BLUE, BLUE]
    frames = _plain(*(reversed(colours) if backward else colours))
    starts = [n * FRAMES // 2 for n in range(5)]
    windows = [frames[start : start + FRAMES] for start in starts]
    told = Colours().describe(torch.stack([torch.from_numpy(w.copy()).permute(3, 0, 1, 2).float() for w in windows]))
    probable = [_forced(w, words).mean() if words else -np.inf for w, words in zip(windows, told)]
    assert {(), ("red",), ("a", "green", "one")} == set(told)
    best = told[int(np.argmax(probable))]
    sums = [_forced(w, words).sum() if words else -np.inf for w, words in zip(windows, told)]
    assert best not in (told[int(np.argmax(sums))], told[0], told[-1])
    recipe = Recipe(dtype="float32", frame_rate=16, stride=FRAMES // 2, context=False, method="gradcam")
    found = explain_caption(frames, Colours(), recipe=recipe)
    assert found.words == best and found.whole.window_starts.tolist() == starts
    assert found.whole.method == "gradcam" and found.whole.top == ()
    for index, word in enumerate(found.by_word):
        assert word.target.label == best[index] and word.top == ()


def test_a_sentence_that_is_given_is_explained() -> None:
    frames, seen = _plain(GREEN, GREEN), []
    words = ("a", "green", "one")
    found = explain_caption(
        frames,
        Colours(),
        "a green  one",
        recipe=Recipe(dtype="float32", frame_rate=16),
        progress=lambda *n: seen.append(n),
    )
    expected = _forced(frames, words)
    assert found.words == words and found.whole.target.label == "a green one" and found.whole.target.index is None
    assert [word.target.probability for word in found.by_word] == pytest.approx(np.exp(expected).tolist(), rel=1e-4)
    assert found.whole.target.value == pytest.approx(expected.mean(), rel=1e-4)
    assert seen == [(n, FRAMES) for n in range(1, FRAMES + 1)]
    assert explain_caption(frames, Colours(), "red").words == ("red",)


def test_a_sentence_is_of_words_that_the_captioner_knows_and_as_long_as_it_writes() -> None:
    frames = _plain(GREEN)
    with pytest.raises(TargetError, match="does not know 'purple'"):
        explain_caption(frames, Colours(), "a purple one")
    for sentence, words in ((" ", 0), ("a a a a", 4)):
        with pytest.raises(SettingsError, match=f"a sentence of {words} words is given; 1 to 3 can be explained"):
            explain_caption(frames, Colours(), sentence)


@pytest.mark.slow
def test_words_and_sentence_are_those_of_the_teacher_forced_model(caption: Caption, clip: Path) -> None:
    model = teacher_forced_model(load_captioner(), caption.words)
    window = PREPROCESS.windows([[PREPROCESS.frame(f.pixels) for f in Clip(clip)]])
    log_probabilities = model.network(window)[0].detach().numpy()
    found = [word.target.probability for word in caption.by_word]
    np.testing.assert_allclose(found, np.exp(log_probabilities), rtol=1e-3)
    assert caption.whole.target.value == pytest.approx(log_probabilities.mean(), abs=1e-4)
    (word, *_), index = caption.by_word, 0
    expected = explain(clip, model, index, layer=LAYER, dtype="float32", context=False)
    np.testing.assert_allclose(word.maps, expected.maps, rtol=1e-3, atol=1e-6)


def test_a_captioner_that_says_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", list(_plain(BLUE)))
    with pytest.raises(ModelError, match=r"writes no sentence for clip\.mp4; give a sentence to explain"):
        explain_caption(path, Colours())


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_captioner("none.safetensors")


def test_of_several_layers_each_word_has_the_fused_map(clip: Path, caption: Caption) -> None:
    recipe = Recipe(layer=f"{LAYER},captioner.looks.2", dtype="float32", context=False)
    fused = explain_caption(clip, recipe=recipe)
    assert [e.target.label for e in fused.by_word] == list(caption.words)
    assert {e.layer for e in (*fused.by_word, fused.whole)} == {recipe.layer}


def test_words_are_explained_by_one_method(clip: Path) -> None:
    with pytest.raises(SettingsError, match=r"several results are asked for \(2 methods\)"):
        explain_caption(clip, recipe=Recipe(method="gradcam,gradcam++"))


def test_words_are_not_split_into_motion_and_appearance(clip: Path) -> None:
    with pytest.raises(SettingsError, match="words are explained by the whole evidence; leave it out"):
        explain_caption(clip, recipe=Recipe(evidence="motion"))
