"""The exceptions a caller of vidcam has to know.

Every message says what was given, what was expected and what to do next, in one line or a short list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


class VidcamError(Exception):
    """Something the caller gave cannot be used; the message says what, and what to do."""


class ClipError(VidcamError):
    """A video file cannot be read or written."""


class ModelError(VidcamError):
    """A network or its weights cannot be had."""


class LayerError(VidcamError):
    """A target layer does not exist or gives no space-time activation."""


class TargetError(VidcamError):
    """The class to explain is not one of the network's."""


class SettingsError(VidcamError):
    """A setting has a value that cannot work."""


class OutputError(VidcamError):
    """A result cannot be written where it was asked for."""


def one_of(given: Any, choices: Sequence[T], what: str) -> T:
    """Return what was given if it is one of the choices.

    Raises:
        SettingsError: it is none of them.

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
    """The `words` most like `word`, without regard to case, best first."""
    by_folded = {w.casefold(): w for w in words}
    folded = word.casefold()
    inside = [w for f, w in by_folded.items() if folded and folded in f]
    close = [by_folded[f] for f in get_close_matches(folded, by_folded, n=count, cutoff=0.5)]
    return list(dict.fromkeys([*inside, *close]))[:count]
