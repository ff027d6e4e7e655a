"""The limits of the page: of a clip, of the work on it, and of all visitors together."""

from __future__ import annotations

from dataclasses import dataclass

FRAME_RATE = 60  # frames per second that the limit of time is counted in


def share(limit: int) -> int:
    """What one network address may have of a limit.

    Example:
        >>> share(8), share(1)
        (4, 1)
    """
    return max(1, limit // 2)


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Attributes:
        megabytes: of the file of a clip.
        seconds: of a clip, counted as frames at 60 a second.
        pixels: of a picture.
        work_seconds: to explain a clip, on the clock.
        memory: bytes of memory of the process that explains clips.
        uploads: files of all visitors together; of these and the following, a network address has half.
        files: as many largest clips fit on the disk, all visitors together.
        arriving: uploads at the same time.
        waiting: clips that wait to be explained.
        results: explained clips of all visitors together.
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
        """Frames of a clip."""
        return self.seconds * FRAME_RATE

    @property
    def bytes(self) -> int:
        """Bytes of the file of a clip."""
        return self.megabytes << 20
