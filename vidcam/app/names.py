"""Safe file names for visitors' files, and content types that a visitor cannot choose."""

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
WEIGHTS = ".safetensors"
"""The suffix of a checkpoint: the one format that is no program."""
LABELS = (".txt", ".csv", ".json")
"""The suffixes of a file of class names."""
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
    r"""Return a visitor's file name without folders and without characters that are special to a file system.

    The suffix is kept if it is one of a video, a picture, a checkpoint or a file of class names.

    Example:
        >>> safe_name("../jump: 1.MP4"), safe_name("evil.html"), safe_name("\0"), safe_name("..")
        ('jump_ 1.mp4', 'evil', '_', 'clip')
    """
    last = given.replace("%22", '"').replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c if c.isprintable() else "_" for c in _UNSAFE.sub("_", last))
    stem, dot, ending = clean.rpartition(".")
    suffix = f"{dot}{ending}".lower()
    if suffix not in (*_CLIPS, WEIGHTS, *LABELS):
        suffix = ""
        stem = stem or clean
    stem = stem[: _MOST_CHARACTERS - len(suffix)].encode()[: _MOST_BYTES - len(suffix)].decode(errors="ignore")
    return (stem.strip(". ") or "clip") + suffix


def content_type(name: str) -> str:
    """Return the content type of a served file, by its suffix."""
    suffix = Path(name).suffix
    return _CONTENT_TYPES.get(suffix) or _CLIPS.get(suffix, BINARY)
