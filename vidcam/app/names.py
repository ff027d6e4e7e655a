"""File names of visitors, made safe for every file system and archive, and content types that no visitor chooses."""

from __future__ import annotations

import re
from pathlib import Path

BINARY = "application/octet-stream"
_CLIPS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": BINARY,
    ".avi": BINARY,
    ".mpg": BINARY,
    ".mpeg": BINARY,
    ".ts": BINARY,
    ".m2ts": BINARY,
    ".mts": BINARY,
    ".wmv": BINARY,
    ".flv": BINARY,
    ".3gp": BINARY,
    ".ogv": BINARY,
    ".y4m": BINARY,
    ".gif": BINARY,
    ".png": BINARY,
    ".jpg": BINARY,
    ".jpeg": BINARY,
    ".webp": BINARY,
    ".bmp": BINARY,
    ".tif": BINARY,
    ".tiff": BINARY,
}
_CONTENT_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".npz": BINARY,
    ".png": "image/png",
    ".zip": "application/zip",
}
_UNSAFE = re.compile(r'[<>:"/\\|?*%]')
_MOST_CHARACTERS, _MOST_BYTES = 100, 200


def safe_name(given: str) -> str:
    r"""A visitor's name of a file, without a folder and without characters that mean something to a file system.

    An ending is kept where it is one of a video or a picture.

    Example:
        >>> safe_name("../jump: 1.MP4"), safe_name("evil.html"), safe_name("\0"), safe_name("..")
        ('jump_ 1.mp4', 'evil', '_', 'clip')
    """
    last = given.replace("%22", '"').replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c if c.isprintable() else "_" for c in _UNSAFE.sub("_", last))
    stem, dot, ending = clean.rpartition(".")
    suffix = f"{dot}{ending}".lower()
    if suffix not in _CLIPS:
        suffix = ""
        stem = stem or clean
    stem = stem[: _MOST_CHARACTERS - len(suffix)].encode()[: _MOST_BYTES - len(suffix)].decode(errors="ignore")
    return (stem.strip(". ") or "clip") + suffix


def content_type(name: str) -> str:
    """The content type of a file that is served, by its ending."""
    suffix = Path(name).suffix
    return _CONTENT_TYPES.get(suffix) or _CLIPS.get(suffix, BINARY)
