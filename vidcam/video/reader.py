"""Video files: their frames one at a time, upright, in presentation order, each with its own time."""

from __future__ import annotations

import heapq
import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from threading import local

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from vidcam.errors import ClipError, counted
from vidcam.untrusted.files import open_regular
from vidcam.video.colour import Colour, coded_colour, film_colour
from vidcam.video.container import audio_stream, open_media, reason_of, video_stream
from vidcam.video.damage import SIZED, bytes_unread, clips_begun, end_is_missing
from vidcam.video.hdr import ToneMapper, tone_mapper
from vidcam.video.orientation import orientation_of
from vidcam.video.planes import in_film_format

MAX_PIXELS = 2**26
"""Default limit of a picture's pixels: 8192x8192."""

LONGEST_GAP, SHOWN_GAP = 3600.0, 10.0
"""Longest gap between two frames in seconds that films keep, and the length of a longer one in films."""

_RAW = {
    "h264",
    "hevc",
    "h263",
    "m4v",
    "mjpeg",
    "mpegvideo",
    "obu",
    "vc1",
}  # streams without times: their frames are counted
_NO_CLOCK = {"avi", *_RAW}  # their times are counted from packets
_TABLES = {"avi", "mov,mp4,m4a,3gp,3g2,mj2", "image2", "gif"}  # formats that count all frames: their rate is right
_STILL_BRANDS = {"avif", "heic", "heix", "mif1"}  # of HEIF (ISO/IEC 23008-12) with one picture
_MOST_BEHIND = 1 << 16  # bytes behind the last frame of a file that are usual: an index, tags
_EDITED = {"mov,mp4,m4a,3gp,3g2,mj2"}  # formats whose edit lists hide frames that the header counts
_LENGTH_UNTOLD = {"h264", "mpegts", "mpeg"}  # formats of which only the last picture tells that the end is missing
_NOTHING_BEHIND = {"gif", "ivf", "yuv4mpegpipe"}  # formats that end with the last frame, but for a few bytes
_ONE_EACH = {"h264", "hevc"}  # codecs of which each packet holds one picture, if it is not interlaced
_GAP = 10  # usual steps between two frames that make a gap
_TO_COMPARE = 48  # packets whose rate is compared with that of the header
_RESTART, _RESTART_STEPS = 1.0, 5  # seconds, or steps, whichever is less, that a clock goes back by when another begins
_JOINED = {
    "mpegts",
    "mpeg",
    "mxf",
    "nut",
}  # formats in which clips are joined, each with its clock: no time can be sought
_MISSING = 0.25  # seconds at the end that may be missing
_REORDER = 4  # frames held back while their times are put in order
_BEFORE = 0.5  # seconds before a stretch at which decoding begins: times near a key frame may be out of order


@dataclass(frozen=True)
class Frame:
    """One upright frame of a clip.

    Attributes:
        index: from 0.
        time: presentation time in seconds.
        pts: the exact time, in units of the clip's `time_base`.
        picture: (H, W, 3) uint8 RGB, or a function that returns it, called when it is first needed.
        film_picture: returns the frame in the format of a film, or None; see `vidcam.video.planes.in_film_format`.
        bytes: size of the decoded frame, as it was coded; 0 if it was not decoded.
    """

    index: int
    time: float
    pts: int
    picture: np.ndarray | Callable[[], np.ndarray] = field(repr=False)
    film_picture: Callable[[], VideoFrame | None] = field(default=lambda: None, repr=False)
    bytes: int = 0

    @cached_property
    def pixels(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture()

    @cached_property
    def planes(self) -> VideoFrame | None:
        """The frame in the format of a film; None if it does not become that without a conversion to RGB."""
        return self.film_picture()


class Clip:
    """A video file that can be read any number of times; it is never held in memory as a whole.

    Args:
        path: the file.
        start, end: seconds on the clip's clock: only frames from `start` to before `end` are read. By default all.
        max_pixels: a larger picture is refused before it is decoded.

    Attributes:
        path, start, end, max_pixels: as given.
        name, file, sound, reopens: see `vidcam.video.source.FrameSource`.
        width, height: of the upright frame in pixels.
        sample_aspect_ratio: width of a pixel over its height, upright.
        frame_rate: frames per second, on average.
        frame_rate_from: "header", "times" of the frames, or "assumed" if neither says.
        time_base: seconds per unit of a frame's pts.
        colour: coding of a film made from it; its own, if that is SDR of BT.601 or BT.709.
        seconds_announced: duration in seconds by the header, 0 if it does not say.
        frames_announced: number of frames to read by the header, 0 if it does not say.
        codec: FFmpeg's name of the decoder.
        has_audio: True if there is an audio stream to copy.
        is_image: True if the file is a picture, which has one frame and no time.
        warnings: problems of the last reading that did not end it, for people to read.

    Raises:
        ClipError: the path is missing, not a file, empty, not a video, a list of other files, or too large; no frame
            of it can be decoded, or none of the stretch.

    Example:
        >>> clip = Clip("clip.mp4")                                     # doctest: +SKIP
        >>> for frame in clip: print(frame.time, frame.pixels.shape)    # doctest: +SKIP
    """

    reopens = True

    def __init__(
        self,
        path: str | Path,
        *,
        start: float | None = None,
        end: float | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.path, self.start, self.end, self.max_pixels = Path(path), start, end, max_pixels
        self.name = str(self.path)
        self.file = None if self.is_stretch else self.path
        self.warnings: list[str] = []
        with open_media(self.path, probing=True) as container:
            stream = self._stream(container)
            first = _first_frame(container, stream, self.path)
            self._orientation = orientation_of(first, self.path)
            self._coded_size = first.width, first.height
            self.colour = film_colour(coded_colour(first))
            upright = (first.height, first.width) if self._orientation.transposed else (first.width, first.height)
            self.width, self.height = upright
            ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
            ratio = Fraction(ratio) if ratio > 0 else Fraction(1)
            self.sample_aspect_ratio = 1 / ratio if self._orientation.transposed else ratio
            self._format = container.format.name
            self.frame_rate, self.frame_rate_from = self._rate(stream)
            step = 1 / self.frame_rate
            self.time_base = step if self._format in _RAW else Fraction(stream.time_base or step)
            self.seconds_announced = (container.duration or 0) / av.time_base
            self._video_announced = _announced_seconds(container, stream)
            self.frames_announced = self._announced(stream)
            self.codec = stream.codec_context.name
            self.has_audio = audio_stream(container) is not None
            self.sound = self.file if self.has_audio else None
            no_clock = self._format in _NO_CLOCK
            self.is_image = _is_picture(container)
        self._step = max(1, round(1 / (self.frame_rate * self.time_base)))
        self._restart = math.inf if no_clock else min(_RESTART_STEPS * self._step, _RESTART / self.time_base)
        self._shift = 0  # units added to all times: a clock that begins below 0, or is none, begins at 0
        if no_clock or (first.pts or 0) < 0:
            begins = next((pts for _, pts in self._sorted()), 0)
            self._shift = -begins if no_clock or begins < 0 else 0
        self.sound_shift = 0.0 if no_clock else float(self._shift * self.time_base)

    def reopened(self) -> Clip:
        """Return the same clip for another reading at the same time."""
        return Clip(self.path, start=self.start, end=self.end, max_pixels=self.max_pixels)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start. A damaged file yields the frames before the damage and leaves a warning.

        Raises:
            ClipError: no frame can be decoded.
        """
        self.warnings = []
        self._mappers: dict[tuple[int, int, str, Colour], ToneMapper] = {}
        self._resized = ""
        self._interlaced = False
        self._faulty: list[float] = []  # times of pictures that were decoded in part
        index, restarts, shift = 0, 0, self._shift
        last: int | None = None
        for image, pts in self._timed():
            pts += shift
            if last is not None and last - pts > self._restart:
                shift += last + self._step - pts
                pts, restarts = last + self._step, restarts + 1
            pts = pts if last is None or pts > last else last + 1
            seconds = float(pts * self.time_base)
            if self.end is not None and seconds >= self.end:
                break
            if index and last is not None and seconds - float(last * self.time_base) > LONGEST_GAP:
                self.warnings.append(
                    f"{self.path.name}: there is no frame from {float(last * self.time_base):.2f} to {seconds:.2f} s; "
                    f"films show {SHOWN_GAP:g} s of this gap, and no sound after it"
                )
            last = pts
            if self.start is None or seconds >= self.start:
                self._interlaced |= image.interlaced_frame
                if image.is_corrupt:
                    self._faulty.append(seconds)
                size = image.width, image.height
                if size != self._coded_size and not self._resized:
                    self._resized = f"{size[0]}x{size[1]} at {seconds:.2f} s"
                size_in_bytes = sum(plane.buffer_size for plane in image.planes)
                pictures = partial(self._upright_rgb, image), partial(self._planes, image)
                yield Frame(index, seconds, pts, *pictures, size_in_bytes)
                index += 1
        missing = 0.0
        if last is not None and not (self._broken or self.is_stretch or restarts):
            with suppress(OSError, ClipError):  # deleted while it was read
                missing = self._missing(last - shift + self._step)
        notes = [*self._about_pictures(index, missing, restarts), *self._about_end(restarts, missing)]
        self.warnings += [f"{self.path.name}: {note}" for note in notes]
        if not index and not self.is_stretch:
            reason = self._broken or "its stream holds no frame"
            raise ClipError(f"no frame of {self.path} can be decoded ({self.codec}: {reason}); give a file that plays")
        if not index:
            until = f"; its last is at {float(last * self.time_base):.2f} s" if last is not None else ""
            raise ClipError(
                f"{self.path} has no frame from {self.start or 0:g} to {self.end or math.inf:g} s{until}; give another stretch"
            )

    def _missing(self, ends: int) -> float:
        """Return the seconds by which the video ends before the header says; 0 if the difference is normal."""
        if self._video_announced is None:
            return 0.0
        start, lasts, of_file = self._video_announced
        missing = start + lasts - float(max(ends, self._ends) * self.time_base)
        if missing <= max(_MISSING, float(2 / self.frame_rate), 0.01 * lasts):
            return 0.0
        if of_file:  # other streams may last longer than the video
            with open_media(self.path) as container, suppress(av.error.FFmpegError, IndexError):
                for packet in container.demux():
                    if packet.pts is not None and packet.time_base:
                        last = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                        missing = min(missing, start + lasts - last)
        return missing if missing > max(_MISSING, 0.01 * lasts) else 0.0

    def _behind(self) -> int:
        """Return the number of bytes after the last packet of any stream; 0 for few bytes."""
        if self._format in SIZED:
            return bytes_unread(self.path, self._format)
        size = self.path.stat().st_size
        usual = 64 if self._format in _NOTHING_BEHIND else max(_MOST_BEHIND, self._reached // 8)
        if not self._reached or size - self._reached <= usual:
            return 0
        reached = self._reached
        with open_media(self.path) as container, suppress(av.error.FFmpegError, IndexError):
            for packet in container.demux():
                reached = max(reached, (packet.pos or 0) + packet.size)
        behind = size - reached
        return behind if behind > usual else 0

    def _rate(self, stream: VideoStream) -> tuple[Fraction, str]:
        """Return frames per second and where they are from: the header, or the times if it has none or they differ."""
        announced = Fraction(stream.average_rate or 0)
        if self._format in _RAW:  # FFmpeg assumes 25; the pictures may say, those of JPEG cannot
            coded = Fraction(0 if self._format == "mjpeg" else stream.codec_context.framerate or 0)
            return (coded, "header") if coded else (announced or Fraction(25), "assumed")
        if announced and self._format in _TABLES:
            return announced, "header"
        measured = self._measured_rate(_TO_COMPARE)
        if announced and (measured is None or 0.9 < announced / measured < 1.1):
            return announced, "header"
        if (measured := self._measured_rate()) is not None:
            return measured, "times"
        return (announced, "header") if announced else (Fraction(stream.guessed_rate or 25), "assumed")

    def _measured_rate(self, most: int | None = None) -> Fraction | None:
        """Return the frames per second by the times of `most` packets, or of all, without gaps; None for fewer than two."""
        with open_media(self.path) as container:
            stream = self._stream(container)
            times: list[int] = []
            with suppress(av.error.FFmpegError, IndexError):
                for packet in islice(container.demux(stream), most):
                    if packet.pts is not None and packet.size:
                        times.append(packet.pts)
            steps = np.diff(np.unique(times))
            if not len(steps) or not stream.time_base:
                return None
            usual = steps[steps <= _GAP * np.median(steps)]
            return Fraction(len(usual), int(usual.sum())) / stream.time_base

    def _about_pictures(self, frames: int, missing: float, restarts: int) -> Iterator[str]:
        """Yield the warnings on the pictures of a reading.

        Args:
            frames: number of frames read.
            missing: seconds that are missing at the end.
            restarts: number of times the clock went back.
        """
        if not self._orientation.exact:
            yield (
                "how it is turned cannot be read, or is no turn by quarters; it is shown in the nearest of the eight "
                "orientations"
            )
        if self._resized:
            yield (
                f"the size of its pictures changes to {self._resized}; all are shown at the size of the first, "
                f"{self._coded_size[0]}x{self._coded_size[1]}"
            )
        if self.frame_rate_from == "assumed" and frames > 1:
            yield f"its frame rate is not known; {float(self.frame_rate):g} a second are assumed"
        announced = 0 if self.is_stretch else self.frames_announced - self._hidden
        if self._broken:
            yield f"{self._broken} after {counted(frames, 'frame')}; what follows is not used"
        elif frames < announced and not (self._format in _EDITED and frames >= self._pictures and not missing):
            yield f"{counted(frames, 'frame')} could be decoded of the {self.frames_announced} its header announces"
        elif self.codec in _ONE_EACH and not self._interlaced and not self.is_stretch and frames < self._pictures:
            yield f"{counted(self._pictures - frames, 'picture')} of {self._pictures} cannot be decoded and are left out"
        if self._faulty:
            first = f"the first at {self._faulty[0]:.2f} s"
            yield f"{counted(len(self._faulty), 'picture')} could be decoded in part only, {first}"
        damaged = self._damaged - restarts  # where clips are joined, the count of packets breaks
        if damaged > 0 and not (self._broken or self.is_stretch):
            yield f"{counted(damaged, 'packet')} cut off or damaged"

    def _about_end(self, restarts: int, missing: float) -> Iterator[str]:
        """Yield the warnings on what is missing after the last frame, or lies behind it. Arguments as above."""
        if restarts:
            yield (
                f"its clock starts anew {counted(restarts, 'time')}; the frames behind are carried on from those before, "
                "and in films the sound ends there"
            )
        if self._broken or self.is_stretch:
            return
        with suppress(OSError, ClipError):  # deleted while it was read
            if unread := self._clips_unread(restarts):
                yield (
                    f"{counted(unread, 'clip')} of those joined in it cannot be read; give each clip as a file of its own"
                )
            elif missing:
                yield f"{missing:.1f} s are missing that its header announces; the file is cut off or damaged"
            elif not restarts and (behind := self._behind()):
                yield (
                    f"{behind:,} of its bytes lie behind its last frame and are not read; it is damaged, or another clip was "
                    "joined to it"
                )
            elif end_is_missing(self.path, self._format):
                yield "its end is missing; the file is cut off"

    def _clips_unread(self, restarts: int) -> int:
        """Return the number of clips in the file, joined one behind the other, that were not read."""
        if restarts:  # FFmpeg may leave out one on the way
            return max(0, clips_begun(self.path, self._format) - 1 - restarts)
        return clips_begun(self.path, self._format, self._reached)

    @property
    def is_stretch(self) -> bool:
        """True if only a part of the file is read."""
        return self.start is not None or self.end is not None

    def _announced(self, stream: VideoStream) -> int:
        if not self.is_stretch or not stream.frames:
            return stream.frames
        until = min(self.end or math.inf, float(stream.frames / self.frame_rate))
        return min(stream.frames, max(0, round((until - (self.start or 0)) * self.frame_rate)))

    def _timed(self) -> Iterator[tuple[VideoFrame, int]]:
        """Yield frames in their order with their times, from before `start` on."""
        if self.start is not None and self._format not in _JOINED:
            near = self._sorted(round((self.start - _BEFORE) / self.time_base) - self._shift)
            first = next(near, None)
            if first is not None and (first[1] + self._shift) * self.time_base <= self.start:
                yield first
                yield from near
                return
        yield from self._sorted()

    def _sorted(self, near: int | None = None) -> Iterator[tuple[VideoFrame, int]]:
        if self._format in _RAW:
            return ((image, index) for index, image in enumerate(self._decoded()))
        if self._format == "avi":  # numbers packets in the order of decoding
            return self._counted(near)
        return _in_order(self._decoded(near), self._step, self._restart)

    def _counted(self, near: int | None) -> Iterator[tuple[VideoFrame, int]]:
        """Yield frames paired with the earliest time of the packets that were read before and gave no frame yet."""
        last = -1
        for image in self._decoded(near):
            last = heapq.heappop(self._waiting) if self._waiting else last + 1
            yield image, last

    def _decoded(self, near: int | None = None) -> Iterator[VideoFrame]:
        """Yield all frames, or those from the key frame before a time on, if the container can find it."""
        self._broken, self._hidden, self._damaged, self._ends, self._reached = "", 0, 0, 0, 0
        self._pictures = 0
        self._waiting: list[int] = []  # times of packets whose pictures are not out yet
        first: int | None = None  # time of the first picture
        with open_media(self.path) as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            if self._format in _LENGTH_UNTOLD and stream.codec_context is not None:
                stream.codec_context.thread_count = 1  # with more, H.264 forgets that its last picture is damaged
            try:
                if near is not None:
                    container.seek(near, stream=stream)
                coded = 0
                for packet in container.demux(stream):
                    coded += packet.size > 0
                    if packet.pts is not None and packet.size and not packet.is_discard:
                        heapq.heappush(self._waiting, packet.pts)
                        self._pictures += first is None or packet.pts >= first
                    self._hidden += packet.is_discard  # by an edit list: needed by others, not shown
                    self._damaged += packet.is_corrupt
                    self._reached = max(self._reached, (packet.pos or 0) + packet.size)
                    self._ends = max(self._ends, (packet.pts or 0) + (packet.duration or 0))
                    if packet.pts is not None and not packet.size:  # of AVI and Theora: the picture before, once more
                        continue
                    for image in packet.decode():
                        if first is None and image.pts is not None:  # pictures before it lean on some that are cut off
                            first = image.pts
                            self._pictures -= sum(pts < first for pts in self._waiting)
                        if self._format != "avi":
                            self._waiting.clear()
                        yield image
                if self._format == "avi":  # counts packets without bytes, too
                    self._hidden += max(0, self._ends - coded)
            except (av.error.FFmpegError, IndexError) as error:  # PyAV's, of a stream that begins on the way
                self._broken = f"the stream breaks ({reason_of(error)})"
            if self._broken:
                with suppress(av.error.FFmpegError):
                    yield from stream.decode(None)

    def _stream(self, container: InputContainer) -> VideoStream:
        stream = video_stream(container, self.path)
        if stream.codec_context is not None:
            if stream.width * stream.height > self.max_pixels:
                raise ClipError(
                    f"{self.path} has pictures of {stream.width}x{stream.height} pixels, and at most {self.max_pixels} "
                    "are allowed; give a smaller clip, or allow more"
                )
            # Should the size change on the way. FFmpeg counts the padding of its buffers, too.
            stream.codec_context.options = {"max_pixels": str(2 * self.max_pixels)}
        return stream

    def _planes(self, image: VideoFrame) -> VideoFrame | None:
        coded = (image.width, image.height) == self._coded_size
        return in_film_format(image, self.colour) if coded and self._orientation.is_upright else None

    def _upright_rgb(self, image: VideoFrame) -> np.ndarray:
        width, height = self._coded_size
        colour = coded_colour(image)
        if colour.is_hdr:
            looks = image.width, image.height, image.format.name, colour
            if looks not in self._mappers:
                self._mappers[looks] = tone_mapper(image, self.time_base)
            pixels = self._mappers[looks](image).to_ndarray(width=width, height=height)
        else:
            rgb = _OF_THREAD.reformatter.reformat(
                image,
                width,
                height,
                "rgb24",
                src_colorspace=colour.matrix,
                src_color_range=ColorRange(image.color_range) if image.color_range in (1, 2) else None,
                threads=1,
            )
            pixels = rgb.to_ndarray()
        return self._orientation.upright(pixels)


class _Conversion(local):
    """The conversion to RGB, which each thread has for itself: it keeps what it prepared for frames of the same kind."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_OF_THREAD = _Conversion()


def _in_order(images: Iterator[VideoFrame], step: int, restart: float) -> Iterator[tuple[VideoFrame, int]]:
    """Yield frames paired with their times.

    Decoders return frames in presentation order, but some containers (AVI with packed B-frames) number them otherwise:
    over a few frames the times are sorted, the frames keep their order. A clock that goes back by more than `restart`
    begins anew: nothing is sorted across it.
    """
    waiting: deque[VideoFrame] = deque()
    times: list[int] = []
    newest = -step
    for image in images:
        pts = image.pts if image.pts is not None else image.dts
        if pts is not None and pts < newest - restart:
            while waiting:
                yield waiting.popleft(), heapq.heappop(times)
            newest = pts
        newest = max(newest, pts) if pts is not None else newest + step
        waiting.append(image)
        heapq.heappush(times, pts if pts is not None else newest)
        if len(waiting) > _REORDER:
            yield waiting.popleft(), heapq.heappop(times)
    while waiting:
        yield waiting.popleft(), heapq.heappop(times)


def _announced_seconds(container: InputContainer, stream: VideoStream) -> tuple[float, float, bool] | None:
    """Return the video's start and duration in seconds by the header; None if it does not say.

    The third value is True if the duration is that of the whole file and not of the video alone.
    """
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    if stream.duration and stream.time_base:
        fragmented = not stream.frames and container.format.name in _EDITED  # of fragments FFmpeg gives the end
        return 0.0 if fragmented else start, float(stream.duration * stream.time_base), False
    if duration := re.fullmatch(
        r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")
    ):  # Matroska's end
        return 0.0, int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]), False
    if container.duration:
        return (container.start_time or 0) / av.time_base, container.duration / av.time_base, True
    return None


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    if stream.codec_context is None:
        raise ClipError(
            f"{path} has a format without a decoder ({container.format.name}); convert a clip to MP4, a picture to PNG"
        )
    codec, reason = stream.codec_context.name, "its stream holds no frame"  # PyAV 19 crashes if asked after an error
    try:
        for image in container.decode(stream):
            return image
    except (av.error.FFmpegError, RuntimeError, IndexError) as error:
        reason = reason_of(error)
    if container.format.name == "webp_pipe" and _is_animated_webp(path):
        raise ClipError(
            f"{path} is an animated WebP, which PyAV {av.__version__} cannot decode; install PyAV 19 or later, or convert "
            "it to MP4, GIF or APNG"
        )
    raise ClipError(f"no frame of {path} can be decoded ({codec}: {reason}); give a file that plays")


def _is_animated_webp(path: Path) -> bool:
    """Return True if a WebP file's extended header (RFC 9649, section 2.7) has the flag of an animation."""
    with open_regular(path) as file:
        head = file.read(21)
    return head[12:16] == b"VP8X" and bool(head[20] & 2)


def _is_picture(container: InputContainer) -> bool:
    still = container.metadata.get("major_brand") in _STILL_BRANDS
    return still or container.format.name == "image2" or container.format.name.endswith("_pipe")
