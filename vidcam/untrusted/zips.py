"""Zip files from untrusted sources: their list of members is bounded, and the same for every reader."""

from __future__ import annotations

import struct
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

_END, _END_64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_END_BYTES, _END_64_BYTES, _LOCATOR_BYTES = 22, 56, 20


def open_zip(file: BinaryIO, most: int) -> ZipFile:
    """Return an open zip file, after a check that its list of members is short.

    Args:
        file: the zip, from its first byte to its last: nothing before it, and no comment behind it.
        most: largest size of the list in bytes; a member takes about a hundred.

    Raises:
        BadZipFile: it is no such zip, the list is longer, a name appears twice, or a member is encrypted.
    """
    size = file.seek(0, 2)
    tail = _END_64_BYTES + _LOCATOR_BYTES + _END_BYTES
    file.seek(max(0, size - tail))
    ends = file.read(tail).rjust(tail, b"\0")
    if not ends[-_END_BYTES:].startswith(_END):
        raise BadZipFile("it does not end as a zip file does")
    (listed,) = struct.unpack_from("<I", ends, tail - _END_BYTES + 12)
    if ends[_END_64_BYTES:].startswith(_LOCATOR):  # more than 4 GiB or 65,535 members, or torch
        if not ends.startswith(_END_64):
            raise BadZipFile("it does not end as a zip file does")
        (listed,) = struct.unpack_from("<Q", ends, 40)
    if listed > most:
        raise BadZipFile(f"its list of members has {listed:,} bytes; {most:,} are allowed")
    file.seek(0)
    archive = ZipFile(file)
    members = archive.infolist()
    if len({m.filename.lower() for m in members}) < len(members):
        raise BadZipFile("a name appears twice")
    if members and min(m.header_offset for m in members) != 0:
        raise BadZipFile("it does not begin with its first member")
    if any(m.flag_bits & 1 for m in members):
        raise BadZipFile("a member is encrypted")
    return archive


def check_stored(member: ZipInfo, most: int) -> None:
    """Check that a member is not compressed, and has at most so many bytes.

    Args:
        member: of a zip file.
        most: bytes.

    Raises:
        BadZipFile: it is compressed, or larger.
    """
    if member.compress_type != 0 or member.compress_size != member.file_size:
        raise BadZipFile(f"{member.filename} is compressed")
    if member.file_size > most:
        raise BadZipFile(f"{member.filename} has {member.file_size:,} bytes; at most {most:,} are possible")
