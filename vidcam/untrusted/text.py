"""Text from untrusted sources, made safe for terminals, pages and files: no control characters, valid UTF-8."""

from __future__ import annotations

import json
import re
from typing import Any

# C0, DEL and C1 controls, line separators, marks that turn the direction of text, and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text with every control character escaped, and every byte of a name that is not UTF-8 as its value.

    Example:
        >>> print(printable("a\x1b[31m\n\udcff.mp4"))
        a\x1b[31m\x0a\xff.mp4
    """
    return _UNPRINTABLE.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def as_json(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON: letters unchanged, what is not `printable` as JSON's escapes, which read back the same.

    Args:
        value: for JSON.
        indent: spaces per level; None for one line.

    Example:
        >>> print(as_json({"clip": "é\udcff.mp4"}))
        {"clip": "é\udcff.mp4"}
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def fitted(text: str, most: int) -> str:
    """Return a text made printable, cut with an ellipsis if it is longer than `most` characters."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def one_line(text: str, most: int = 300) -> str:
    """Return a message from elsewhere as one printable line of at most `most` characters."""
    return fitted(" ".join(text.split()), most)


def shortened(value: Any, most: int = 120) -> str:
    """Return the `repr` of a value for a message, of at most `most` characters."""
    try:
        return fitted(repr(value), most)
    except ValueError:  # an integer of thousands of digits
        return f"a very long {type(value).__name__}"
