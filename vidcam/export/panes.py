"""The panes of a comparison: explanations of one clip, each with a title and a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidcam.results.explanation import Explanation


@dataclass(frozen=True)
class Pane:
    """One explanation of a comparison.

    Attributes:
        explanation: of the clip.
        title: the settings that differ from the other panes'.
        peak: raw heat at which the scale of colours ends.
        highest: evidence at which the scale of the curve ends.
    """

    explanation: Explanation
    title: str
    peak: float
    highest: float

    @property
    def heading(self) -> str:
        """The title, with the class if that is the same in all panes."""
        label = self.explanation.target.label
        return self.title if label in self.title.split(" · ") else f"{self.title} · {label}"


def panes_of(explanations: Sequence[Explanation]) -> list[Pane]:
    """Return the panes of explanations, titled by the settings that differ between them."""
    described = [(e.target.label, e.method, e.layer, e.model, e.kind) for e in explanations]
    differing = [k for k in range(5) if len({d[k] for d in described}) > 1] or [0]
    panes = []
    for e, words in zip(explanations, described):
        alike = [o for o in explanations if (o.model, o.layer, o.method) == (e.model, e.layer, e.method)]
        title = " · ".join(words[k] for k in differing)
        highest = max(o.highest for o in alike)
        panes.append(Pane(e, title, max(o.peak for o in alike), highest))
    return panes
