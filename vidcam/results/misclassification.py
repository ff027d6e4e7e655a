"""Misclassification: a clip that a network gets wrong, and the evidence for both classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """What one class, the true or the predicted one, has for it in the window.

    Attributes:
        label: the class.
        probability: in the whole window.
        insertion_auc: of the class's probability while the window becomes sharp in the order of the class's map.
        highest_confidence: the highest it reaches when only the strongest i/25 of that map is left, i = 1 to 24 (Chen
            et al. 2024, arXiv 2402.09164); its mean over clips is the average highest confidence.
    """

    label: str
    probability: float
    insertion_auc: float
    highest_confidence: float


@dataclass(frozen=True)
class Misclassified:
    """A clip the network gets wrong.

    Attributes:
        clip: its name.
        start: first frame of the window that was looked into.
        true, predicted: the two classes.
        kept: the smallest share of the window that restores the right answer when the rest is blurred, in the order of
            the true class's map; None where no share up to 24/25 does.
        removed: the same when it is blurred itself, in the order of the predicted class's map.
    """

    clip: str
    start: int
    true: Side
    predicted: Side
    kept: float | None
    removed: float | None

    @property
    def restored_by(self) -> float | None:
        """The smaller of the two shares."""
        return min((share for share in (self.kept, self.removed) if share is not None), default=None)
