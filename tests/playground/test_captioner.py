from __future__ import annotations

import pytest
import torch

from vidcam.errors import TargetError
from vidcam.playground.captioner import Captioner, TeacherForced

WORDS = ("a", "b", "c", "d", ".")
WINDOWS = torch.rand(2, 3, 8, 112, 112, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    torch.manual_seed(3)
    return Captioner(WORDS, ".", longest=6).eval()


def test_probabilities_of_words_that_know_nothing_of_later_ones(captioner: Captioner) -> None:
    words = torch.tensor([[4, 0, 1, 2], [4, 0, 3, 3]])
    with torch.inference_mode():
        found = captioner(WINDOWS, words)
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(2, 4))
        changed = captioner(WINDOWS, torch.tensor([[4, 0, 3, 3], [4, 0, 1, 2]]))
        torch.testing.assert_close(found[:, :2], changed[:, :2])
        assert (found[:, 2] - changed[:, 2]).abs().max() > 1e-4
        seen = captioner(WINDOWS.flip(0), words.flip(0)).flip(0)
    torch.testing.assert_close(found, seen, rtol=1e-4, atol=1e-5)


def test_a_sentence_is_the_most_probable_word_at_every_step(captioner: Captioner) -> None:
    for window, sentence in zip(WINDOWS, captioner.describe(WINDOWS)):
        words = [captioner.index(word) for word in sentence]
        with torch.inference_mode():
            found = captioner(window[None], torch.tensor([[4, *words]]))[0].argmax(-1).tolist()
        assert found[: len(words)] == words
        assert len(words) == captioner.longest or found[len(words)] == 4


def test_telling_gives_the_words_of_a_sentence(captioner: Captioner) -> None:
    telling = TeacherForced(captioner, [0, 2, 1], 4).eval()
    with torch.inference_mode():
        found, whole = telling(WINDOWS), captioner(WINDOWS, torch.tensor([[4, 0, 2]] * 2))
    torch.testing.assert_close(found, torch.stack([whole[:, 0, 0], whole[:, 1, 2], whole[:, 2, 1]], 1))


def test_unknown_words(captioner: Captioner) -> None:
    with pytest.raises(TargetError, match="does not know 'z'; its words are a b c d"):
        captioner.index("z")
