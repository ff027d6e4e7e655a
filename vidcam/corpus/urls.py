"""Clips elsewhere: fetched by fsspec, and written down without what gives access to them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, urlencode, urlsplit

from vidcam.errors import ClipError, OutputError

_PIECE = 2**20  # bytes read at once
_SIGNING = re.compile(
    r"x-amz-|x-goog-|(awsaccesskeyid|googleaccessid|signature|sig|expires|policy|key-pair-id|token)$", re.I
)
_AZURE = {"sv", "ss", "srt", "sp", "st", "se", "spr", "sip", "sr", "skoid", "sktid", "skt", "ske", "sks", "skv"}


def is_url(path: str) -> bool:
    """Whether a path is something fsspec fetches, and not a file of this machine."""
    return ("://" in path or "::" in path) and not path.startswith("file://")


def shown(path: str) -> str:
    """A path as it may be written down: of a URL no user, password, query or fragment."""
    return _bare(path) if is_url(path) else path


def _bare(url: str) -> str:
    parts = re.sub(r"://[^/]*@", "://", url).split("::")
    return "::".join(re.sub(r"[?#].*", "?…", part, count=1, flags=re.DOTALL) for part in parts)


def unsigned(path: str) -> str:
    """What a URL names, whoever may fetch it for how long: without user and password, and without a query's signature."""
    if not is_url(path):
        return path
    parts = urlsplit(path)
    query = parse_qsl(parts.query, keep_blank_values=True)
    azure = _AZURE if any(name == "sig" for name, _ in query) else set()
    kept = [(name, value) for name, value in query if not _SIGNING.match(name) and name not in azure]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(kept), fragment="").geturl()


def without_secrets(text: str, path: str = "") -> str:
    """A message with every URL in it, and the given one wherever it stands, as it may be written down."""
    if is_url(path):
        text = text.replace(path, shown(path))
        for secret in filter(None, (urlsplit(path).query, urlsplit(path).password)):
            text = text.replace(secret, "…")
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+", lambda url: _bare(url[0]), text)


def fetched(url: str, folder: Path, most: int) -> Path:
    """Fetch a clip into a folder.

    Args:
        url: what fsspec reads.
        folder: it exists.
        most: bytes that are taken.

    Raises:
        ClipError: it cannot be fetched, or is larger.
        OutputError: the folder cannot be written.
    """
    import fsspec

    last = PurePosixPath(shown(url.split("::")[0]).removesuffix("?…"))
    name = re.sub(r"[^\w.-]+", "_", last.name).lstrip(".")[-80:] or "clip"
    path, taken = folder / name, 0
    try:
        with fsspec.open(url, "rb") as source:
            while piece := source.read(_PIECE):
                taken += len(piece)
                if taken > most:
                    raise ClipError(f"{shown(url)} has more than {most >> 20} MiB; allow more, or give a smaller clip")
                _append(path, piece)
    except (ClipError, OutputError):
        raise
    except Exception as error:  # every protocol has its own
        reason = without_secrets(" ".join(str(error).split()), url) or type(error).__name__
        raise ClipError(f"{shown(url)} cannot be fetched ({type(error).__name__}: {reason}); is it there?") from None
    path.touch()
    return path


def _append(path: Path, piece: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(piece)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be written ({error.strerror}); is the disk full?") from error
