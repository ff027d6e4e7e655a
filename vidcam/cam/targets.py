"""What is being explained: a class given by index, label or rank, or any scalar of the output."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vidcam.errors import TargetError, nearest

ScoreFunction = Callable[[Any], Tensor]
Target = int | str | ScoreFunction


def top_count(target: Target) -> int | None:
    """How many of a clip's top classes a target asks for: "top" 1, "top5" 5; None for any other target."""
    match = re.fullmatch(r"top[- ]?(\d*)", target.strip(), re.IGNORECASE) if isinstance(target, str) else None
    if match is None:
        return None
    count = int(match[1] or 1)
    if count < 1:
        raise TargetError(f"target {target!r} asks for no class; give top1 or more")
    return count


def class_index(target: int | str, labels: Sequence[str]) -> int:
    """The index of a class given by index or by label: exact, else the only one equal without regard to case.

    Raises:
        TargetError: the index is out of range, or no label matches; the message lists the nearest labels.
    """
    if isinstance(target, int) or (re.fullmatch(r"-?\d+", target.strip()) and target not in labels):
        index = int(target)
        if 0 <= index < len(labels):
            return index
        raise TargetError(
            f"class index {index} is out of range; the model has {len(labels)} classes, 0 to {len(labels) - 1}"
        )
    if target in labels:
        return list(labels).index(target)
    folded = target.strip().casefold()
    alike = [i for i, label in enumerate(labels) if label.casefold() == folded]
    if len(alike) == 1:
        return alike[0]
    if alike:
        choices = ", ".join(f"{labels[i]} ({i})" for i in alike)
        raise TargetError(f"label {target!r} fits several classes: {choices}; give one exactly, or its index")
    near = nearest(target, labels)
    hint = f"nearest: {', '.join(near)}" if near else f"the first are: {', '.join(labels[:5])}"
    raise TargetError(f"label {target!r} is not one of the model's {len(labels)} classes; {hint}")
