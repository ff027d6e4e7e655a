"""Notes on a network's answers, for the people who read them."""

from __future__ import annotations

from vidcam.models.registry import ModelSpec


def domain_note(spec: ModelSpec) -> str:
    """Return the note on clips of which most windows lie outside what the network was made for."""
    return f"{spec.name} knows {spec.domain} only; its answer about other clips means nothing"


def softmax_note(spec: ModelSpec) -> str:
    """Return the note on a network whose scores are probabilities already, of which a softmax is taken again."""
    return (
        f"{spec.name} gives numbers that sum to 1 in every window: probabilities, of which another "
        "softmax is taken; leave out its softmax, or the probabilities below are wrong"
    )
