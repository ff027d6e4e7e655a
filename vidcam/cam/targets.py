"""Targets of an explanation: a class by index, label or rank, a contrast of two, a class at a time, or a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from torch import Tensor

from vidcam.errors import TargetError, counted, nearest
from vidcam.untrusted.text import shortened

ScoreFunction = Callable[[Any], Tensor]
Target = int | str | ScoreFunction

_AT = re.compile(r"(.+?)\s*@\s*(\d{1,9}(?:\.\d{1,9})?)\s*s?", re.DOTALL)


@dataclass(frozen=True)
class Contrast:
    """Contrast of two classes, why one and not the other: the difference of their scores before softmax.

    Attributes:
        toward: index of the class that is explained.
        against: index of the class that it is compared with.
        label: for people.
        pattern: axes of the network's scores.
    """

    toward: int
    against: int
    label: str
    pattern: Pattern = "n c"

    def __call__(self, output: Any) -> Tensor:
        """Return the difference of the scores of each window, (N,), in a network's output.

        Raises:
            TargetError: the output holds no class scores.
        """
        scores = class_scores(output, self.pattern)
        return scores[:, self.toward] - scores[:, self.against]


@dataclass(frozen=True)
class InTime:
    """A class at a time of the clip: its score at the step of the network that is nearest to the time.

    Attributes:
        index: of the class.
        seconds: time on the clip's clock.
        label: for people.
    """

    index: int
    seconds: float
    label: str


Pattern = Literal["n c", "n t", "n t c", "n c t"]
"""Axes of a network's scores: windows n, classes c, steps in time t."""

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)


def frame_scores(output: Any, pattern: Pattern = "n c") -> Tensor:
    """Return the scores (N, classes, T) in a network's output; T is 1 where it has one score for a window.

    Args:
        output: as for `class_scores`, but of as many axes as the pattern has.
        pattern: the axes.

    Raises:
        TargetError: the output holds no such scores.
    """
    scores = _scores(output, len(pattern.split()), pattern)
    match pattern:
        case "n c":
            return rearrange(scores, "n c -> n c 1")
        case "n t":
            return rearrange(scores, "n t -> n 1 t")
        case "n t c":
            return rearrange(scores, "n t c -> n c t")
    return scores


def class_scores(output: Any, pattern: Pattern = "n c") -> Tensor:
    """Return the class scores (N, classes) in a network's output.

    The scores of frames become one score of the window by log Σ_t exp(S_t), in which the frames with the highest
    scores count most.

    Args:
        output: a tensor; an object with `.logits`; a mapping with "logits" or with a single tensor of as many axes as
            the pattern has; or a tuple or list, of which the first such tensor is taken.
        pattern: axes of the scores.

    Raises:
        TargetError: the output holds no such scores.
    """
    if pattern == "n c":
        return _scores(output, 2, pattern)
    return frame_scores(output, pattern).logsumexp(2)


def _scores(output: Any, axes: int, pattern: str) -> Tensor:
    match output:
        case Tensor():
            found = [output]
        case Mapping():
            found = [output["logits"]] if "logits" in output else list(output.values())
        case _ if hasattr(output, "logits"):
            found = [output.logits]
        case tuple() | list():
            found = [v for v in output if isinstance(v, Tensor) and v.ndim == axes][:1]
        case _:
            found = []
    fitting = [v for v in found if isinstance(v, Tensor) and v.ndim == axes]
    if len(fitting) == 1:
        return fitting[0]
    what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise TargetError(
        f"the network gives {what}, in which no class scores ({pattern.replace(' ', ', ')}) are recognised; "
        "wrap it so that it gives them, declare its scores, or explain a function of the output"
    )


def classes(indices: Tensor, pattern: Pattern = "n c") -> ScoreFunction:
    """Return a function from a network's output to the score of one class for each window, (N,).

    Args:
        indices: of the classes, (N,).
        pattern: axes of the network's scores.
    """
    return lambda output: class_scores(output, pattern)[torch.arange(len(indices)), indices]


def in_time(index: int, steps: Tensor, pattern: Pattern) -> ScoreFunction:
    """Return a function from a network's output to the score of a class at one step of each window, (N,).

    Args:
        index: of the class.
        steps: in time, one for each window, (N,).
        pattern: axes of the network's scores.
    """
    return lambda output: frame_scores(output, pattern)[torch.arange(len(steps)), index, steps]


def target_of(target: Target, labels: Sequence[str], pattern: Pattern = "n c") -> int | InTime | ScoreFunction:
    """Parse a target other than "top".

    Args:
        target: a class index or label, "A - B", "A @ 3.2" for A at 3.2 seconds, or a function.
        labels: of the classes.
        pattern: axes of the network's scores.

    Returns:
        A class index, a `Contrast`, an `InTime`, or the function as it is.

    Raises:
        TargetError: a class is not one of the model's.
    """
    if callable(target):
        return target
    if isinstance(target, str) and target not in labels and (timed := _AT.fullmatch(target)):
        index, seconds = class_index(timed[1], labels), float(timed[2])
        return InTime(index, seconds, f"{labels[index]} @ {seconds:g} s")
    if isinstance(target, str) and target not in labels and " - " in target:
        for cut in re.finditer(" - ", target):
            with suppress(TargetError):
                pair = class_index(target[: cut.start()], labels), class_index(target[cut.end() :], labels)
                break
        else:
            toward, _, against = target.partition(" - ")
            pair = class_index(toward, labels), class_index(against, labels)
        if pair[0] == pair[1]:
            raise TargetError(f"target {target!r} compares a class with itself; name two")
        return Contrast(*pair, f"{labels[pair[0]]} - {labels[pair[1]]}", pattern)
    return class_index(target, labels)


def top_count(target: Target) -> int | None:
    """Return the number of top classes in a target: 1 for "top", 5 for "top5", None for any other target.

    Raises:
        TargetError: the number is 0.
    """
    match = re.fullmatch(r"top[- ]?(\d{0,6})", target.strip(), re.IGNORECASE) if isinstance(target, str) else None
    if match is None:
        return None
    count = int(match[1] or 1)
    if count < 1:
        raise TargetError(f"target {target!r} asks for no class; give top1 or more")
    return count


def class_index(target: int | str, labels: Sequence[str]) -> int:
    """Return the index of a class given by index or by label.

    A label matches exactly, or else as the only one that is equal when case is ignored.

    Raises:
        TargetError: the index is out of range; or no label, or several, match; the message lists the nearest labels.
    """
    if isinstance(target, int) or (re.fullmatch(r"-?\d{1,18}", target.strip()) and target not in labels):
        index = int(target)
        if 0 <= index < len(labels):
            return index
        raise TargetError(
            f"class index {shortened(index)} is out of range; the model has {counted(len(labels), 'class')}, 0 to {len(labels) - 1}"
        )
    if list(labels).count(target) == 1:
        return list(labels).index(target)
    folded = target.strip().casefold()
    alike = [i for i, label in enumerate(labels) if label.casefold() == folded]
    if len(alike) == 1:
        return alike[0]
    if alike:
        choices = ", ".join(f"{labels[i]} ({i})" for i in alike)
        raise TargetError(f"label {shortened(target)} fits several classes: {choices}; give one exactly, or its index")
    near = nearest(target, labels)
    hint = f"nearest: {', '.join(near)}" if near else f"the first are: {', '.join(labels[:5])}"
    raise TargetError(f"label {shortened(target)} is not one of the model's {counted(len(labels), 'class')}; {hint}")
