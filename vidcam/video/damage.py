"""Damage that FFmpeg does not report: clips joined to a file that it does not read, and ends that are missing."""

from __future__ import annotations

import re
from pathlib import Path

from vidcam.untrusted.files import open_regular

_BEGINNINGS = {  # of a file, by FFmpeg's name of the format
    "matroska,webm": re.compile(rb"\x1aE\xdf\xa3.{1,64}?(?:matroska|webm)", re.DOTALL),
    "mov,mp4,m4a,3gp,3g2,mj2": re.compile(rb"\x00\x00[\x00-\x04].ftyp", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\x00-\x07]\x00\x00\x00\x09"),
}
_LONGEST_BEGINNING = 80  # bytes
_PIECE = 1 << 20
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet of MPEG-TS, and of its prefix
_LONGEST_PAGE = 65_307  # bytes of a page of Ogg (RFC 3533)
_JPEG = {"image2", "jpeg_pipe", "mjpeg"}
_LONGEST_SCAN = 32 << 20  # bytes


def clips_begun(path: Path, container: str, start: int = 0) -> int:
    """Return the number of clips that begin at or after a byte of a file.

    Args:
        path: the file.
        container: FFmpeg's name of its format; 0 is returned for formats whose beginning is not distinct.
        start: the byte.

    Raises:
        OSError: the file cannot be read.
    """
    beginning = _BEGINNINGS.get(container)
    if beginning is None:
        return 0
    count, held = 0, b""
    with open_regular(path) as file:
        file.seek(start)
        while piece := file.read(_PIECE):
            held += piece
            last = len(held) - _LONGEST_BEGINNING  # what begins later may not be complete yet
            found = [m.start() for m in beginning.finditer(held) if m.start() < last]
            count += len(found)
            held = held[max(last, 0) :]
    return count + len(beginning.findall(held))


SIZED = {"mov,mp4,m4a,3gp,3g2,mj2", "avi"}
"""Formats that consist of parts with a name and a size: boxes (ISO/IEC 14496-12, 4.2) and chunks of RIFF."""


def bytes_unread(path: Path, container: str) -> int:
    """Return the number of bytes at the end of a file that belong to none of its parts; 0 if the last part is cut off.

    Args:
        path: the file.
        container: FFmpeg's name of its format, one of `SIZED`.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size, at = file.seek(0, 2), 0
        while at < size:
            file.seek(at)
            header = file.read(16)
            if container == "avi":
                length = 8 + int.from_bytes(header[4:8], "little")
                length += length % 2
                known = header[:4] in (b"RIFF", b"JUNK", b"idx1", b"LIST")
            else:
                length = int.from_bytes(header[:4], "big")
                length = int.from_bytes(header[8:16], "big") if length == 1 else length or size - at
                known = len(header) >= 8 and length >= 8 and all(0x20 <= letter < 0xFF for letter in header[4:8])
            if not known:
                return size - at
            at += length
    return 0


def end_is_missing(path: Path, container: str) -> bool:
    """Return True if the end of a file of a format that does not say its length is missing.

    MPEG-TS ends with a whole packet, Ogg with a page that is marked as the last (RFC 3533), GIF with a semicolon, and a
    scan of JPEG with an end marker (ITU-T T.81, B.1.1.3).

    Args:
        path: the file.
        container: FFmpeg's name of its format; False is returned for others.

    Raises:
        OSError: the file cannot be read.
    """
    if container not in {"mpegts", "ogg", "gif", *_JPEG}:
        return False
    with open_regular(path) as file:
        if container in _JPEG:
            start = file.read(2)
            file.seek(max(0, file.seek(0, 2) - _LONGEST_SCAN))
            end = file.read()
            return start == b"\xff\xd8" and end.rfind(b"\xff\xd9") < end.rfind(b"\xff\xda")
        if container == "gif":
            file.seek(max(0, file.seek(0, 2) - _PIECE))
            return not file.read().rstrip(b"\0").endswith(b";")
        if container == "mpegts":
            beginning = file.read(2 * 204)
            size = file.seek(0, 2)
            for packet, prefix in _TS_PACKETS:
                if beginning[prefix : prefix + 1] == b"G" == beginning[packet + prefix : packet + prefix + 1]:
                    return size % packet != 0
            return False
        file.seek(max(0, file.seek(0, 2) - 2 * _LONGEST_PAGE))
        end = file.read()
    page = end.rfind(b"OggS")
    return page < 0 or not end[page + 5 : page + 6] or not end[page + 5] & 4
