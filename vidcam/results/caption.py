"""Caption: a sentence about a clip, and an explanation of each of its words."""

from __future__ import annotations

from dataclasses import dataclass

from vidcam.results.explanation import Explanation


@dataclass(frozen=True)
class Caption:
    """A sentence about a clip, with an explanation of each word.

    Attributes:
        words: the sentence.
        by_word: an explanation of each word's log-probability, given the clip and the words before it.
        whole: an explanation of their mean.
    """

    words: tuple[str, ...]
    by_word: tuple[Explanation, ...]
    whole: Explanation
