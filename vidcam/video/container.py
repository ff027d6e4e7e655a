"""Media files, opened so that FFmpeg reads that one file and opens no other."""

from __future__ import annotations

import errno
import math
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from vidcam.errors import ClipError
from vidcam.untrusted.files import open_regular

_TEXT_FORMATS = {"tty"}  # FFmpeg would play text files as terminal art
_PLAYLISTS = {  # how files begin whose only content is the names of others
    "HLS": re.compile(rb"\s*#EXTM3U"),
    "ffconcat": re.compile(rb"\s*ffconcat version"),
    "DASH": re.compile(rb"\s*<.*<MPD\b|\s*<MPD\b", re.DOTALL),
    "SDP": re.compile(rb"v=0\r?\n"),
    "VobSub": re.compile(rb"# VobSub index file"),
    "IMF": re.compile(rb"\s*<.*CompositionPlaylist", re.DOTALL),
}
_LOWEST_SOUND = 4000  # samples per second; with fewer, nothing can be heard
_TO_PROBE = 30.0  # seconds until a file's first frame is decoded, or it is given up
_PIECE = 1 << 16  # bytes that FFmpeg reads at once
# Tags that are not UTF-8 must not stop a clip from being read. From PyAV 19 on they do not, and it takes no argument.
UNREADABLE_TAGS: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


@contextmanager
def open_media(path: Path, *, probing: bool = False) -> Iterator[InputContainer]:
    """Open a media file and yield it. FFmpeg gets the open file and cannot open any other.

    Args:
        path: the file.
        probing: True to limit the time of everything that is read, not only of opening.

    Raises:
        ClipError: the file cannot be read as a video, or takes too long to open.
    """
    try:
        file = _OneFile(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with closing(file):
        try:
            container = av.open(
                file,
                "r",
                buffer_size=_PIECE,
                timeout=(_TO_PROBE, None),
                io_open=_refused,  # for what a demuxer opens itself
                options={"protocol_whitelist": "none"},  # for what is opened behind a demuxer's back
                **UNREADABLE_TAGS,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _no_video(path, error) from error
        with container:
            if container.format.name in _TEXT_FORMATS:
                raise ClipError(f"{path} is a text file, not a video; give a video file")
            if not probing:
                file.until = math.inf
            yield container


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the first audio stream of a file that has a known codec and can be heard, or None."""
    return next((s for s in container.streams.audio if s.codec_context is not None and s.rate >= _LOWEST_SOUND), None)


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the video stream that a player shows: no cover picture, and of several the best.

    Raises:
        ClipError: there is none, or only tiles of a picture (HEIF).
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({s.type for s in container.streams})) or "none"
        raise ClipError(f"{path} has no video stream (streams found: {found}); give a file with one")
    tiles = sum(bool(s.disposition & av.stream.Disposition.dependent) for s in streams)
    if tiles > 1:
        raise ClipError(f"{path} is a picture in {tiles} tiles, which cannot be read; convert it to PNG or JPEG")
    if len(streams) == 1:
        return streams[0]
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in streams else streams[0]


def reason_of(error: Exception) -> str:
    """Return the reason of an error of FFmpeg or the system in a few words."""
    if isinstance(error, IndexError):
        return "another stream begins, which was not announced"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[0].lower() + text[1:]


class _OneFile:
    """The file that FFmpeg reads, as an object with a neutral name, so that no name can mean anything to FFmpeg.

    Attributes:
        until: time on the monotonic clock from which reading raises a TimeoutError.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_regular(path)
        self.name = "clip" + (path.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", path.suffix) else "")
        self.until = time.monotonic() + _TO_PROBE

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes.

        Raises:
            TimeoutError: the time is over.
        """
        if time.monotonic() > self.until:
            raise TimeoutError(errno.ETIMEDOUT, f"no frame was found in {_TO_PROBE:g} s")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position and return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _refused(url: str, flags: int, options: object) -> object:
    """Raise a PermissionError: FFmpeg asks to open a file that the media file names."""
    raise PermissionError(errno.EPERM, "it names another file")


def _unreadable(path: Path, error: OSError | ValueError) -> ClipError:
    if isinstance(error, ValueError):
        return ClipError(f"{path} is no name of a file ({error}); give a video file")
    if path.is_dir():
        return ClipError(f"{path} is a directory; give a video file")
    if isinstance(error, FileNotFoundError):
        return ClipError(f"{path} does not exist; give the path of a video file")
    if isinstance(error, PermissionError):
        return ClipError(f"{path} may not be read; change its permissions or give another file")
    if error.errno == errno.EINVAL:
        return ClipError(f"{path} is a pipe or a device, and a clip is read more than once; give a video file")
    return ClipError(f"{path} cannot be opened ({reason_of(error)}); give a video file")


def _no_video(path: Path, error: Exception) -> ClipError:
    try:
        with open_regular(path) as file:
            head = file.read(1024)
    except OSError as gone:
        return _unreadable(path, gone)
    if not head:
        return ClipError(f"{path} is empty (0 bytes); give a video file")
    for name, beginning in _PLAYLISTS.items():
        if beginning.match(head.removeprefix(b"\xef\xbb\xbf")):
            return ClipError(f"{path} is a list of other files ({name}), not a video; give a video file")
    return ClipError(f"{path} is not a video that can be read ({reason_of(error)}); give a video file")
