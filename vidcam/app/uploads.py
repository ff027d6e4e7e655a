"""Uploads of visitors: streamed to disk, limited in size, stored under random names, deleted after a time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from vidcam.app.limits import Limits, share
from vidcam.app.names import safe_name

UNCLAIMED = 120  # seconds until an upload is deleted that no session claims
UNUSED = 900  # seconds until an upload is deleted that its session did not use
_ARRIVAL = 600  # seconds an upload may take
_PAUSE = 30  # seconds between two parts of an upload
_BEGINNING = 10  # seconds in which an upload may be slow
_RATE = 16384  # bytes a second that it has to bring on average from then on
_HEADER = 8192  # bytes of a part's header
_OVERHEAD = 65536  # bytes of a request that are not of the file


Kind = Literal["clip", "weights", "labels"]


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status of the answer.
        text: message for the visitor.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass
class Upload:
    """A file that a visitor uploaded.

    Attributes:
        key: 128 random bits; only the visitor who uploaded the file has it.
        path: path of the stored file.
        address: network address of the visitor.
        name: the visitor's file name, made safe.
        size: bytes received so far.
        session: internal name of the session that owns it, "" until a session claims it.
        kind: what its session claimed it as: a session has one upload of each kind.
        used: time of the last use, in seconds of a monotonic clock.
        complete: True once all of it is received.
    """

    key: str
    path: Path
    address: str
    name: str = "clip"
    size: int = 0
    session: str = ""
    kind: Kind = "clip"
    used: float = field(default_factory=time.monotonic)
    complete: bool = False


class Uploads:
    """The uploads of all visitors.

    Args:
        place: the folder for them.
        limits: of the page.
    """

    def __init__(self, place: Path, limits: Limits) -> None:
        self.place, self.limits = place, limits
        self._uploads: dict[str, Upload] = {}
        self._lock = Lock()

    async def receive(self, body: AsyncIterator[bytes], content_type: str, address: str) -> Upload:
        """Store the single file of a multipart request and return the upload.

        Args:
            body: the request's body in parts.
            content_type: the request's content type, which names the boundary.
            address: the visitor's network address.

        Raises:
            Refused: the request is malformed, too slow or too large, or there is no room.
        """
        upload = self._reserved(address)
        try:
            with anyio.fail_after(_ARRIVAL):
                await self._store(body, content_type, upload)
        except BaseException as error:
            self._delete(upload)
            if isinstance(error, TimeoutError):
                raise Refused(408, "The upload took too long; try again.") from error
            if isinstance(error, FormParserError | ClientDisconnect):
                raise Refused(400, "The upload is not complete; try again.") from error
            raise
        upload.used, upload.complete = time.monotonic(), True
        return upload

    def named(self, key: str) -> Upload | None:
        """Return the complete upload of that key, or None."""
        upload = self._uploads.get(key)
        return upload if upload is not None and upload.complete else None

    def claim(self, key: str, session: str, kept: Collection[str] = (), kind: Kind = "clip") -> Upload | None:
        """Return the upload of that key if no session owns it, or this one as what it claims it now; else None.

        The session's other uploads of this kind are deleted.

        Args:
            key: of the upload.
            session: the internal name of the session that claims it.
            kind: what the upload is claimed as.
            kept: keys of the uploads that jobs need, which are not deleted.
        """
        with self._lock:
            upload = self.named(key)
            if upload is None or (upload.session, upload.kind) not in (("", upload.kind), (session, kind)):
                return None
            upload.session, upload.kind, upload.used = session, kind, time.monotonic()
            others = [u for u in self._all() if (u.session, u.kind) == (session, kind) and u is not upload]
            former = [u for u in others if u.key not in kept]
        for other in former:
            self._delete(other)
        return upload

    def forget(self, session: str) -> None:
        """Delete the uploads of a session."""
        for upload in self._all():
            if upload.session == session:
                self._delete(upload)

    def sweep(self, kept: Collection[str] = ()) -> None:
        """Delete the uploads that were not used for too long.

        Args:
            kept: keys of the uploads that jobs need, which count as used.
        """
        now = time.monotonic()
        for upload in self._all():
            if upload.key in kept:
                upload.used = now
            elif upload.complete and now - upload.used > (UNUSED if upload.session else UNCLAIMED):
                self._delete(upload)

    def _all(self) -> list[Upload]:
        return list(self._uploads.values())

    def _reserved(self, address: str) -> Upload:
        theirs = [u for u in self._all() if u.address == address]
        arriving = sum(not u.complete for u in self._all())
        theirs_arriving = sum(not u.complete for u in theirs)
        if arriving >= self.limits.arriving or theirs_arriving >= share(self.limits.arriving):
            raise Refused(429, "Too many clips arrive at the same time; try again in a minute.")
        if len(self._uploads) >= self.limits.uploads or len(theirs) >= share(self.limits.uploads):
            raise Refused(507, "There is no room for another clip now; try again in a few minutes.")
        key = secrets.token_urlsafe(16)
        upload = self._uploads[key] = Upload(key, self.place / key, address)
        return upload

    async def _store(self, body: AsyncIterator[bytes], content_type: str, upload: Upload) -> None:
        file = _OneFile(content_type)
        received, began = 0, time.monotonic()
        with await asyncio.to_thread(open, upload.path, "xb") as out:
            while (chunk := await _next(body, _patience(received, time.monotonic() - began))) is not None:
                received += len(chunk)
                if received > self.limits.bytes + _OVERHEAD:
                    raise self._too_large()
                content = file.content(chunk)
                self._grow(upload, len(content))
                await asyncio.to_thread(out.write, content)
            file.finish()
        upload.name = safe_name(file.name)

    def _grow(self, upload: Upload, count: int) -> None:
        upload.size += count
        room = self.limits.files * self.limits.bytes
        everything = sum(u.size for u in self._all())
        theirs = sum(u.size for u in self._all() if u.address == upload.address)
        if upload.size > self.limits.bytes:
            raise self._too_large()
        if everything > room or theirs > room // 2:
            raise Refused(507, "There is no room for another clip now; try again in a few minutes.")

    def _too_large(self) -> Refused:
        return Refused(413, f"The clip has more than {self.limits.megabytes} MB, the most that this page takes.")

    def _delete(self, upload: Upload) -> None:
        self._uploads.pop(upload.key, None)
        with suppress(OSError):
            upload.path.unlink(missing_ok=True)


def _patience(received: int, elapsed: float) -> float:
    """Return the seconds that the next part of an upload may take.

    Args:
        received: bytes so far.
        elapsed: seconds since the upload began.
    """
    return min(_PAUSE, max(_BEGINNING, received / _RATE) - elapsed)


async def _next(body: AsyncIterator[bytes], seconds: float) -> bytes | None:
    with anyio.fail_after(seconds):
        return await anext(body, None)


class _OneFile:
    """A parser of a multipart body with one file in it."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise Refused(400, "An upload is a form with one file.")
        self.name = ""
        self._parts, self._complete = 0, False
        self._content: list[bytes] = []
        self._field, self._value, self._disposition, self._header = b"", b"", b"", 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._field_goes_on,
                "on_header_value": self._value_goes_on,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_end": self._form_ends,
                "on_part_data": lambda data, start, end: self._content.append(data[start:end]),
            },
        )

    def content(self, chunk: bytes) -> bytes:
        """Return the bytes of a chunk that belong to the file."""
        self._content.clear()
        self._parser.write(chunk)
        return b"".join(self._content)

    def finish(self) -> None:
        """Check that the file is complete.

        Raises:
            Refused: it is not.
        """
        self._parser.finalize()
        if self._parts == 0 or not self._complete:
            raise Refused(400, "The upload is not complete; try again.")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise Refused(400, "An upload is a form with one file.")

    def _form_ends(self) -> None:
        self._complete = True

    def _field_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _value_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, count: int) -> None:
        self._header += count
        if self._header > _HEADER:
            raise Refused(400, "The header of the file is too long.")

    def _header_ends(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise Refused(400, "An upload is a form with one file.")
        self.name = options[b"filename"].decode(errors="replace")
