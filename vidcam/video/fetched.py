"""A clip at a URL, fetched into a temporary folder that is deleted with it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidcam.errors import ClipError, OutputError
from vidcam.video.reader import Clip, Frame
from vidcam.video.urls import fetch, redacted

MOST_BYTES = 4 << 30


class _Folder:
    """A temporary folder that is deleted with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vidcam-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class FetchedClip(Clip):
    """A video file at a URL, fetched once.

    Args:
        url: a URL that fsspec reads: https, s3, gs, ...
        start, end: as for `Clip`.
        most: largest size in bytes.

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
            self._folder = _Folder()
            self._open(redacted(url), fetch(url, self._folder.path, most), start, end)
        except (OSError, OutputError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            reason = getattr(cause, "strerror", None) or type(error).__name__  # the messages name the folder
            raise ClipError(
                f"{redacted(url)} cannot be kept in the temporary folder ({reason}); free some space"
            ) from error

    def _open(self, name: str, path: Path, start: float | None, end: float | None) -> None:
        with _naming(path, name):
            super().__init__(path, start=start, end=end)
        self.name, self.file = name, None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start; see `Clip`."""
        with _naming(self.path, self.name):
            yield from super().__iter__()

    def reopened(self) -> FetchedClip:
        """Return the same clip for another reading; it is not fetched again."""
        again = FetchedClip.__new__(FetchedClip)
        again._folder = self._folder
        again._open(self.name, self.path, self.start, self.end)
        return again


@contextmanager
def _naming(path: Path, name: str) -> Iterator[None]:
    """Replace the path of the temporary file in messages by a name."""
    try:
        yield
    except ClipError as error:
        raise ClipError(str(error).replace(str(path), name)) from error
