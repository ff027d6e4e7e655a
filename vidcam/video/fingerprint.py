"""Fingerprint of a source: tells frames that were exchanged from those that were explained."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vidcam.errors import ClipError
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource, FrameSource, PicturesSource

_ENDS = 1 << 20  # bytes at both ends of a file; containers keep their tables of frames in one of them


def fingerprint_of(source: FrameSource) -> str:
    """Return 32 hexadecimal digits that differ if the content does; "" for a source of another kind than those below.

    Of a file these are its size, its first and its last MiB; of pictures their names and those of each file; of an
    array its shape and all its numbers.

    Raises:
        ClipError: a file cannot be read.

    Example:
        >>> black, white = np.zeros((8, 4, 6, 3), np.uint8), np.full((8, 4, 6, 3), 255, np.uint8)
        >>> fingerprint_of(ArraySource(black, 16)) == fingerprint_of(ArraySource(white, 16))
        False
    """
    digest = blake2b(digest_size=16)
    if isinstance(source, Clip):
        _add(digest, source.path)
    elif isinstance(source, PicturesSource):
        for path in source.paths:
            digest.update(os.fsencode(path.name) + b"\0")
            _add(digest, path)
    elif isinstance(source, ArraySource):
        digest.update(repr(source.frames.shape).encode())
        for frame in source.frames:
            digest.update(frame.tobytes())
    else:
        return ""
    return digest.hexdigest()


def _add(digest: Any, path: Path) -> None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(size.to_bytes(8, "little"))
            file.seek(0)
            digest.update(file.read(_ENDS))
            file.seek(max(_ENDS, size - _ENDS))
            digest.update(file.read(_ENDS))
    except OSError as error:
        raise ClipError(f"{path} cannot be read ({error.strerror}); give a file that exists") from error
