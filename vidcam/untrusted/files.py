"""Files from untrusted sources: regular files only, of limited size, without waiting for a writer."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from vidcam.untrusted.text import shortened

_SPECIAL = "is a directory, a pipe or a device, not a file"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading and return it; a pipe is refused, so that the call does not wait for a writer.

    Raises:
        OSError: there is no such file, it may not be read, or it is a directory, a pipe or a device.

    Example:
        >>> open_regular(Path("/dev/zero"))
        Traceback (most recent call last):
        OSError: [Errno 22] is a directory, a pipe or a device, not a file: '/dev/zero'
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, _SPECIAL, str(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # exchanged since it was looked at
        os.close(descriptor)
        raise OSError(errno.EINVAL, _SPECIAL, str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        most: its largest size in bytes.

    Raises:
        OSError: it cannot be opened by `open_regular`, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return content


def read_json(path: Path, most: int) -> Any:
    """Return the value in a JSON file of at most `most` bytes, UTF-8 with or without a byte order mark.

    Raises:
        OSError: as by `read_regular`.
        ValueError: as by `parse_json`.
    """
    return parse_json(read_regular(path, most).decode("utf-8-sig"))


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or an object has a name twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"an object has the name {shortened(twice)} twice")
    return found
