"""A clip at a URL, fetched into a temporary folder that is deleted with it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from vidcam.errors import ClipError, OutputError
from vidcam.video.reader import Clip
from vidcam.video.urls import fetched, shown

MOST_BYTES = 4 << 30


class _TemporaryFolder:
    """A folder that is deleted with the last clip that refers to it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vidcam-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class FetchedClip(Clip):
    """A video file that was fetched from a URL.

    Args:
        url: what fsspec reads: https, s3, gs, ...
        start, end: as for `Clip`.
        most: bytes that are fetched.

    Attributes:
        name: the URL without user, password and query.

    Raises:
        ClipError: it cannot be fetched, is larger, or is no video.

    Example:
        >>> FetchedClip("https://host.example/clip.mp4").width      # doctest: +SKIP
        1280
    """

    def __init__(
        self, url: str, *, start: float | None = None, end: float | None = None, most: int = MOST_BYTES
    ) -> None:
        try:
            self._folder = _TemporaryFolder()
            self._open(shown(url), fetched(url, self._folder.path, most), start, end)
        except (OSError, OutputError) as error:
            raise ClipError(
                f"{shown(url)} cannot be kept in the temporary folder ({error}); free some space"
            ) from error

    def _open(self, name: str, path: Path, start: float | None, end: float | None) -> None:
        try:
            super().__init__(path, start=start, end=end)
        except ClipError as error:
            raise ClipError(str(error).replace(str(path), name)) from error
        self.name, self.file = name, None

    def reopened(self) -> FetchedClip:
        """Return the same clip once more; it is not fetched again."""
        again = FetchedClip.__new__(FetchedClip)
        again._folder = self._folder
        again._open(self.name, self.path, self.start, self.end)
        return again
