"""Misclassification: a clip that a network classifies wrongly, and the evidence for both classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """The evidence for one class, the true or the predicted one, in the window.

    Attributes:
        label: the class.
        probability: of the class in the whole window.
        insertion_auc: area under the class's probability while the window is sharpened in the order of the class's map.
        highest_confidence: highest probability of the class when only the strongest i/25 of its map is kept, i = 1 to
            24 (Chen et al. 2024, arXiv 2402.09164); its mean over clips is the average highest confidence.
    """

    label: str
    probability: float
    insertion_auc: float
    highest_confidence: float


@dataclass(frozen=True)
class Misclassification:
    """A clip that the network classifies wrongly.

    Attributes:
        clip: its name.
        start: first frame of the explained window.
        true, predicted: the two classes.
        kept: smallest share of the window that corrects the prediction if the rest is blurred, in the order of the true
            class's map; None if no share up to 24/25 does.
        removed: smallest share that corrects it if the share itself is blurred, in the order of the predicted class's
            map.
    """

    clip: str
    start: int
    true: Side
    predicted: Side
    kept: float | None
    removed: float | None

    @property
    def restored_by(self) -> float | None:
        """The smaller of the two shares, or None."""
        return min((share for share in (self.kept, self.removed) if share is not None), default=None)
