from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.results.test_explanation import explanation
from vidcam.results.caption import Caption


def test_a_caption_is_words_with_an_explanation_each_and_one_of_the_whole() -> None:
    word, whole = explanation(np.ones((2, 2, 2))), explanation(np.ones((2, 2, 2)), method="gradcam")
    caption = Caption(("a", "figure"), (word, word), whole)
    assert caption.by_word[1] is word and caption.whole.method == "gradcam"
    with pytest.raises(dataclasses.FrozenInstanceError):
        caption.words = ()  # type: ignore[misc]
