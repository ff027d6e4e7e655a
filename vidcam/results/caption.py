"""Caption: a sentence about a clip, and an explanation of each of its words."""

from __future__ import annotations

from dataclasses import dataclass

from vidcam.results.explanation import Explanation


@dataclass(frozen=True)
class Caption:
    """A clip's sentence and why it was written.

    Attributes:
        words: the sentence.
        by_word: an explanation for each word: of its log-probability, given the clip and the words before it.
        whole: that of their mean over the sentence.
    """

    words: tuple[str, ...]
    by_word: tuple[Explanation, ...]
    whole: Explanation
