"""Limits of the page: of a clip, of the work on it, and of all visitors together."""

from __future__ import annotations

from dataclasses import dataclass

FRAME_RATE = 60  # frames per second that the limit of time is counted in


def share(limit: int) -> int:
    """Return the part of a limit that one network address may use: half, at least 1.

    Example:
        >>> share(8), share(1)
        (4, 1)
    """
    return max(1, limit // 2)


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Attributes:
        megabytes: size of the file of a clip.
        seconds: duration of a clip, counted as frames at 60 a second.
        pixels: size of a picture.
        work_seconds: time to explain a clip.
        memory: bytes of memory of the process that explains clips.
        uploads: number of files of all visitors; one network address may use half of this limit and of those below.
        files: disk space of all uploads, counted in clips of the largest size.
        arriving: number of uploads at the same time.
        waiting: number of clips that wait to be explained.
        results: number of stored results of all visitors.
    """

    megabytes: int = 256
    seconds: int = 120
    pixels: int = 7680 * 4320
    work_seconds: float = 600
    memory: int = 8 * 2**30
    uploads: int = 64
    files: int = 8
    arriving: int = 4
    waiting: int = 8
    results: int = 32

    @property
    def frames(self) -> int:
        """Maximum number of frames of a clip."""
        return self.seconds * FRAME_RATE

    @property
    def bytes(self) -> int:
        """Maximum size of the file of a clip, in bytes."""
        return self.megabytes << 20
