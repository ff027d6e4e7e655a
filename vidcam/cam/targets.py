"""Targets of an explanation: a class by index, label or rank, a contrast of two, a class at a time, or a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from torch import Tensor

from vidcam.errors import TargetError, counted, nearest
from vidcam.untrusted.text import shortened

ScoreFunction = Callable[[Any], Tensor]
Target = int | str | ScoreFunction
Scores = Callable[[Any], Tensor]
"""Returns the class scores in a network's output."""

_AT = re.compile(r"(.+?)\s*@\s*(\d{1,9}(?:\.\d{1,9})?)\s*s?", re.DOTALL)


@dataclass(frozen=True)
class Contrast:
    """Contrast of two classes, why one and not the other: the difference of their scores before softmax.

    Attributes:
        toward: index of the class that is explained.
        against: index of the class that it is compared with.
        label: for people.
        scores: returns the class scores (N, classes) in a network's output.
    """

    toward: int
    against: int
    label: str
    scores: Scores = field(default_factory=lambda: class_scores, compare=False)

    def __call__(self, output: Any) -> Tensor:
        """Return the difference of the scores of each window, (N,), in a network's output.

        Raises:
            TargetError: the output holds no class scores.
        """
        scores = self.scores(output)
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


Pattern = Literal["n c", "n", "n t", "n t c", "n c t"]
"""Axes of a network's scores: windows n, classes c, steps in time t."""

PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

Part = str | int | Callable[[Any], Any] | None
"""The part of an output that holds the class scores: a key, a name or an index; several with dots, "heads.1"; or a
function that returns it. None is the only tensor of the output, or its "logits"."""


def part_of(part: Part) -> Callable[[Any], Any]:
    """Return a function from a network's output to a part of it.

    Args:
        part: the part; the function raises a TargetError if an output has no such part.

    Example:
        >>> part_of("heads.1")({"heads": (2.5, 7.0)})
        7.0
    """
    if part is None:
        return lambda output: output
    if callable(part):
        return part
    steps = str(part).split(".")

    def picked(output: Any) -> Any:
        for step in steps:
            inside = dict(_parts(output))
            if isinstance(output, tuple):  # one with names has numbers, too
                inside |= {str(index): part for index, part in enumerate(output)}
            if step not in inside:
                known = ", ".join(inside) or "none"
                raise TargetError(f"the output of the network has no part {str(part)!r}; its parts are {known}")
            output = inside[step]
        return output

    return picked


def frame_scores(output: Any, pattern: Pattern = "n c") -> Tensor:
    """Return the scores (N, classes, T) in a network's output; T is 1 where it has one score for a window.

    Args:
        output: as for `scores_of`.
        pattern: the axes.

    Raises:
        TargetError: the output holds no such scores.
    """
    scores = scores_of(output, pattern)
    match pattern:
        case "n c":
            return rearrange(scores, "n c -> n c 1")
        case "n":
            return rearrange(scores, "n -> n 1 1")
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
        output: as for `scores_of`.
        pattern: axes of the scores.

    Raises:
        TargetError: the output holds no such scores.
    """
    if pattern == "n c":
        return scores_of(output, pattern)
    return frame_scores(output, pattern).logsumexp(2)  # of one step, its score


def scores_of(output: Any, pattern: Pattern) -> Tensor:
    """Return the tensor of class scores in a network's output, with the pattern's axes.

    Args:
        output: a tensor; a mapping or an object with "logits"; or a mapping, tuple, list or object that holds one tensor
            of floating point numbers.
        pattern: axes of the scores.

    Raises:
        TargetError: the output holds no such tensor, or several.
    """
    found = _tensors(output)
    if len(found) == 1 and (only := next(iter(found.values()))).ndim == len(pattern.split()):
        return only
    what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    if len(found) < 2:
        inside = "".join(f" with {name} {tuple(tensor.shape)}" for name, tensor in found.items() if name)
        raise TargetError(
            f"the network gives {what}{inside}, in which no class scores ({pattern.replace(' ', ', ')}) are recognised; "
            f"give their axes as scores, one of {', '.join(PATTERNS)}; or explain a function of the output"
        )
    shapes = ", ".join(f"{name}: {tuple(tensor.shape)}" for name, tensor in found.items())
    last = list(found)[-1]
    raise TargetError(
        f"the network gives {what} of {len(found)} tensors ({shapes}), and which holds the class scores is not known; give "
        f"its name as output, such as output={last if last.isdigit() else repr(last)}; or explain a function of the output"
    )


def _tensors(output: Any, depth: int = 4) -> dict[str, Tensor]:
    """Return the floating point tensors in an output by their names, of "logits" alone if there are any."""
    if isinstance(output, Tensor):
        return {"": output} if output.is_floating_point() else {}
    if not depth:  # objects may hold each other
        return {}
    parts = dict(_parts(output))
    if "logits" in parts:
        parts = {"logits": parts["logits"]}
    return {
        f"{name}.{inner}".rstrip("."): tensor
        for name, part in parts.items()
        for inner, tensor in _tensors(part, depth - 1).items()
    }


def _parts(output: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an output, each with its name: entries of a mapping or a sequence, attributes of an object."""
    match output:
        case Mapping():
            yield from ((str(name), part) for name, part in output.items())
        case tuple() | list():
            names = getattr(output, "_fields", range(len(output)))
            yield from ((str(name), part) for name, part in zip(names, output))
        case _ if not isinstance(output, Tensor | type):
            names = [*getattr(output, "__dataclass_fields__", getattr(output, "__dict__", ()))]
            names += ["logits"] if hasattr(output, "logits") and "logits" not in names else []  # a property
            yield from ((name, getattr(output, name)) for name in names)


def classes(indices: Tensor, scores: Scores = class_scores) -> ScoreFunction:
    """Return a function from a network's output to the score of one class for each window, (N,).

    Args:
        indices: of the classes, (N,).
        scores: returns the class scores (N, classes) in the output.
    """
    return lambda output: scores(output)[torch.arange(len(indices)), indices]


def in_time(index: int, steps: Tensor, scores: Scores) -> ScoreFunction:
    """Return a function from a network's output to the score of a class at one step of each window, (N,).

    Args:
        index: of the class.
        steps: in time, one for each window, (N,).
        scores: returns the scores (N, classes, T) in the output.
    """
    return lambda output: scores(output)[torch.arange(len(steps)), index, steps]


def target_of(target: Target, labels: Sequence[str], scores: Scores = class_scores) -> int | InTime | ScoreFunction:
    """Parse a target other than "top".

    Args:
        target: a class index or label, "A - B", "A @ 3.2" for A at 3.2 seconds, or a function.
        labels: of the classes.
        scores: returns the class scores (N, classes) in the network's output.

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
        return Contrast(*pair, f"{labels[pair[0]]} - {labels[pair[1]]}", scores)
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
