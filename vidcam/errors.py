"""Exceptions that vidcam raises.

Every message says what was given, what was expected and what to do next, in one line or a short list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


class VidcamError(Exception):
    """An error in what the caller gave; the base class of all errors of vidcam.

    The message says what was given, what was expected and what to do.

    Example:
        >>> import vidcam
        >>> vidcam.load_model("r2plus1d")
        Traceback (most recent call last):
        vidcam.errors.ModelError: ...
    """


class ClipError(VidcamError):
    """A clip that cannot be read, or a film that cannot be written."""


class ModelError(VidcamError):
    """A network that is unknown, or weights that cannot be loaded."""


class LayerError(VidcamError):
    """A target layer that does not exist or whose output has no time and space."""


class TargetError(VidcamError):
    """A target that is not one of the network's classes."""


class SettingsError(VidcamError):
    """A setting with a value that cannot be used."""


class OutputError(VidcamError):
    """A result that cannot be written, or read back."""


def one_of(given: Any, choices: Sequence[T], what: str) -> T:
    """Return the choice that equals what was given, and is of the same type.

    Args:
        given: the value.
        choices: the allowed values.
        what: noun for the value in the message.

    Raises:
        SettingsError: no choice does.

    Example:
        >>> one_of("median", ("mean", "max"), "fusion")
        Traceback (most recent call last):
        vidcam.errors.SettingsError: there is no fusion 'median'; choose one of mean, max
    """
    for choice in choices:
        if type(given) is type(choice) and given == choice:
            return choice
    raise SettingsError(f"there is no {what} {given!r}; choose one of {', '.join(map(str, choices))}")


def nearest(word: str, words: Iterable[str], count: int = 5) -> list[str]:
    """Return at most `count` of the words that are most like `word`, ignoring case, best first.

    Example:
        >>> nearest("c3d", ["C3D", "i3d", "slowfast"])
        ['C3D', 'i3d']
    """
    by_folded = {w.casefold(): w for w in words}
    folded = word.casefold()
    inside = [w for f, w in by_folded.items() if folded and folded in f]
    close = [by_folded[f] for f in get_close_matches(folded, by_folded, n=count, cutoff=0.5)]
    return list(dict.fromkeys([*inside, *close]))[:count]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless the count is 1.

    Example:
        >>> counted(1, "frame"), counted(2, "class")
        ('1 frame', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
