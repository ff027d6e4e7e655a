"""Clips at URLs: fetched by fsspec, and named in records and messages without secrets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from vidcam.errors import ClipError, OutputError
from vidcam.untrusted.text import printable

_PIECE = 2**20  # bytes read at once
_SIGNING = re.compile(
    r"x-amz-|x-goog-|(awsaccesskeyid|googleaccessid|signature|sig|expires|policy|key-pair-id|(access_)?token)$", re.I
)
_AZURE = {"sig", "sv", "ss", "srt", "sp", "st", "se", "spr", "sip", "sr", "skoid", "sktid", "skt", "ske", "sks", "skv"}
_AMAZON = {f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature")} | {
    "x-amz-security-token",
    "x-amz-content-sha256",
}
_GOOGLE = {f"x-goog-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature")}
_SIGNED = [  # by whom: the parameters that show it, and all that change when it is signed anew
    ({"x-amz-signature"}, _AMAZON),
    ({"awsaccesskeyid", "signature", "expires"}, {"awsaccesskeyid", "signature", "expires", "x-amz-security-token"}),
    ({"x-goog-signature"}, _GOOGLE),
    ({"googleaccessid", "signature", "expires"}, {"googleaccessid", "signature", "expires"}),
    ({"key-pair-id", "signature", "expires"}, {"key-pair-id", "signature", "expires"}),
    ({"key-pair-id", "signature", "policy"}, {"key-pair-id", "signature", "policy", "expires"}),
    ({"sig", "sv"}, _AZURE),
]
_HAS_USER = re.compile("(https?|ftps?|sftp|ssh|smb|webdavs?|davs?)://", re.I)  # schemes with user:password@host
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_FETCHED = re.compile(rf"(?!file:){_SCHEME}(://|::)", re.I)
_LINK = re.compile(rf"{_SCHEME}(://[^:@;?#]*)?::")  # of a chain, such as `zip://a.mp4::` or `simplecache::`
_BEGINNING = re.compile(rf"\s*({_SCHEME}:[/\\]*|[/\\]{{2,}})")
_SECRET_BEHIND = re.compile("[;?#]|&(?=[^&=/]*=)")
_DELIMITER = re.compile("[:@?;#]|&(?=[^&=/]*=)")
_COLON, _SLASH = "(:|%(25)*3a)", r"([/\\]|%(25)*(2f|5c))"  # as they are, or percent-encoded
_IN_TEXT = re.compile(rf"{_SCHEME}{_COLON}{_SLASH}[^\s'\"<>]*[^\s'\"<>.,:;)]", re.I)
_ENCODED = re.compile(rf"\s*({_SCHEME})%(25)*3a{_SLASH}", re.I)
_GUESSABLE = 8  # characters of a query's value; a shorter one, such as `id=1080`, is looked for only if it signs
_FRAGMENTS = 50  # places at which a fragment may begin
_DECODINGS = 8  # times that a text may have been percent-encoded


def is_url(path: str) -> bool:
    """Return True if a path is a URL that fsspec fetches, and not a file of this machine."""
    return _FETCHED.match(path) is not None


def redacted(path: str) -> str:
    """Return a path without secrets: printable, and of a URL no user, password, query or fragment.

    User and password end at the last "@", since a password may hold any other character; what begins with the first
    ";", "?" or "#", or with an "&name=", is left out. If the two overlap, they cannot be told apart, and all of it is
    left out. If some of these are percent-encoded, however often, only scheme and host are shown; of a `data:` URL only
    that it is one.

    Example:
        >>> redacted("zip://a.mp4::https://user:pass/word@host/x.zip;sig=1?token=2")
        'zip://a.mp4::https://host/x.zip;…'
    """
    return printable(_bare(path) if _looks_like_url(path) else path)


def _looks_like_url(path: str) -> bool:
    return _ENCODED.match(path) is not None or "://" in path or "::" in path or _BEGINNING.match(path) is not None


def _bare(url: str) -> str:
    if encoded := _ENCODED.match(url):
        return f"{encoded[1]}://…"
    chain, beginning, rest = _split(url)
    if _hides(chain):
        chain = "…::"
    if beginning.strip().lower().startswith("data:"):
        return f"{chain}data:…"
    user, at, behind = rest.rpartition("@")
    if at and not beginning.endswith(("/", "\\")):  # user:password@host
        beginning = ""
    if _SECRET_BEHIND.search(user):
        return f"{chain}{beginning}…"
    cut = _SECRET_BEHIND.search(behind)
    shown = behind[: cut.start()] if cut else behind
    if _hides(url):
        host = re.match(r"[^/\\]*", shown)
        if "@" in _decoded(rest).replace("@", "", rest.count("@")) or host is None or _hides(host[0]):
            return f"{chain}{beginning}…"
        return f"{chain}{beginning}{host[0]}/…"
    return chain + beginning + shown + (f"{behind[cut.start() : cut.end()]}…" if cut else "")


def _hides(text: str) -> bool:
    """Return True if percent-encoding hides a character that may separate a secret from the rest."""
    return len(_DELIMITER.findall(_decoded(text))) > len(_DELIMITER.findall(text))


def _decoded(text: str) -> str:
    """Return a text without its percent-encoding."""
    for _ in range(_DECODINGS):
        if (decoded := unquote(text)) == text:
            break
        text = decoded
    return text


def _split(url: str) -> tuple[str, str, str]:
    """Return the links of a chain before its last URL, that URL's beginning ("https://"), and the rest of it."""
    chain = 0
    while link := _LINK.match(url, chain):
        chain = link.end()
    beginning = _BEGINNING.match(url, chain)
    end = beginning.end() if beginning else chain
    return url[:chain], url[chain:end], url[end:]


def unsigned(path: str) -> str:
    """Return a name for the content of a path that does not depend on credentials; of a URL a digest.

    It depends on all of the URL except user and password, if the protocol has them, and the signature in a query of
    AWS, CloudFront, Google or Azure. Elsewhere an "@" or a `token=` may distinguish clips.
    """
    if not _looks_like_url(path):
        return path
    chain, beginning, rest = _split(path)
    kept: list[str] = []
    if is_url(path) and _HAS_USER.fullmatch(beginning):
        rest = re.sub(r"^[^/?#]*@", "", rest)
    if is_url(path) and beginning.lower() in ("http://", "https://"):
        rest, hash_, fragment = rest.partition("#")
        rest, mark, query = rest.partition("?")
        kept = [*(_unsigned_pairs(query.split("&")) if mark else []), *([hash_ + fragment] if hash_ else [])]
    what = json.dumps([chain, beginning, rest, kept])
    return hashlib.sha256(what.encode()).hexdigest()


def _unsigned_pairs(pairs: list[str]) -> list[str]:
    """Return the parts of a query that do not belong to its signature."""
    names = [pair.partition("=")[0].lower() for pair in pairs]
    signing = {name for shows, changes in _SIGNED if shows <= set(names) for name in changes}
    return [pair for pair, name in zip(pairs, names, strict=True) if name not in signing]


def without_secrets(text: str, path: str = "") -> str:
    """Return a message without secrets: printable, every URL in it as `redacted`, and no secret of the given URL.

    If a secret remains in it, in whatever encoding, the whole message is left out.

    Args:
        text: the message.
        path: the URL whose secrets may be in it.
    """
    if _looks_like_url(path):
        text = text.replace(path, redacted(path))
        letters = _letters(text)
        if any(
            secret in text or (len(_letters(secret)) > 3 and _letters(secret) in letters) for secret in _secrets(path)
        ):
            return f"{redacted(path)}: the reason is not written down, since it holds a part of the address"
    return printable(_IN_TEXT.sub(lambda url: _bare(url[0]), text))


def _secrets(url: str) -> Iterator[str]:
    _, beginning, rest = _split(url)
    if beginning.strip().lower().startswith("data:"):
        yield rest
    for at in re.finditer("@", rest):
        user = rest[: at.start()]
        parts = {user, user.partition(":")[2], user.rpartition(":")[0], *user.split(":")}  # either may hold a colon
        yield from (part for part in parts if len(part) > 2)
    cut = _SECRET_BEHIND.search(rest)
    behind = rest[cut.end() :] if cut else ""
    ends = [behind[mark.end() :] for mark in islice(re.finditer("#", behind), _FRAGMENTS)]  # any may begin the fragment
    yield from (long for long in (behind, *ends, *behind.split("#")) if len(long) >= _GUESSABLE)
    for part in re.split("[;?#&]", behind):
        name, _, value = part.partition("=")
        least = 3 if _SIGNING.match(name) else _GUESSABLE
        yield from (some for some in (value or part, *value.split("/")) if len(some) >= least)


def _letters(text: str) -> str:
    """Return the letters and digits of a text, however the rest is encoded."""
    return "".join(filter(str.isalnum, _decoded(text)))


def fetch(url: str, folder: Path, most: int) -> Path:
    """Fetch a clip into a folder and return its path.

    Args:
        url: a URL that fsspec reads.
        folder: it exists.
        most: largest size in bytes.

    Raises:
        ClipError: it cannot be fetched, or is larger. The message quotes no library, whose errors may hold the URL.
        OutputError: the folder cannot be written.
    """
    from fsspec.core import url_to_fs

    name = file_name(url)
    path, taken = folder / name, 0
    try:
        with _temporary_files_in(folder):
            system, there = url_to_fs(_lowered(url))  # not fsspec.open, which takes `?`, `*` and `[` for a pattern
            with system.open(there, "rb") as source:
                while piece := source.read(_PIECE):
                    taken += len(piece)
                    if taken > most:
                        raise ClipError(
                            f"{redacted(url)} has more than {most >> 20} MiB; allow more, or give a smaller clip"
                        )
                    _append(path, piece)
    except (ClipError, OutputError):
        raise
    except Exception as error:  # every protocol has its own
        raise ClipError(f"{redacted(url)} cannot be fetched ({_reason(error)}); is it there?") from None
    path.touch()
    return path


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Keep the temporary files of this process in a folder, and delete them at the end.

    Links such as `filecache::` write the URL with its password there. A killed process deletes nothing, so the run
    deletes a clip's folder. fsspec's cached file systems are dropped, because they refer to files that are gone.
    """
    import fsspec

    before = tempfile.tempdir
    try:
        place = tempfile.TemporaryDirectory(dir=folder, prefix=".", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); is the disk full?") from error
    with place as name:
        tempfile.tempdir = name
        try:
            yield
        finally:
            tempfile.tempdir = before
            for system in set(fsspec.registry.values()):
                system.clear_instance_cache()


def file_name(url: str) -> str:
    """Return a safe name for the file at a URL; of a chain that of its first link.

    Example:
        >>> file_name("https://host/clips/a b.mp4?token=2")
        'a_b.mp4'
    """
    first = url.split("::")[0] if _split(url)[0].count("://") else url
    path = PurePosixPath(redacted(first).rstrip("…").rstrip(";?#"))
    return re.sub(r"[^A-Za-z0-9.-]+", "_", path.name).lstrip(".")[-80:] or "clip"


def _lowered(url: str) -> str:
    """Return a URL with its schemes in lower case, as fsspec expects them."""
    chain, beginning, rest = _split(url)
    chain = re.sub(rf"{_SCHEME}(?=://|::)", lambda scheme: scheme[0].lower(), chain)
    return chain + beginning.lower() + rest


def _reason(error: Exception) -> str:
    """Return the kind of a failure, in words that do not come from outside."""
    kind, number = type(error).__name__, getattr(error, "errno", None)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(status := getattr(cause, "status", None), int):
            return f"{kind}: HTTP status {status}"
        cause = cause.__cause__
    if isinstance(error, ImportError):
        return f"{kind}: the package for its protocol is not installed"
    if isinstance(number, int) and number > 0:
        return f"{kind}: {os.strerror(number)}"
    return kind


def _append(path: Path, piece: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(piece)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be written ({error.strerror}); is the disk full?") from error
