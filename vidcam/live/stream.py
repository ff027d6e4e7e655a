"""Streams from a network or standard input, decoded by FFmpeg, which opens that one stream and no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidcam.errors import ClipError
from vidcam.untrusted.text import shortened
from vidcam.video.colour import coded_colour
from vidcam.video.container import UNREADABLE_TAGS, reason_of
from vidcam.video.hdr import tone_mapper
from vidcam.video.urls import redacted

LONGEST_SIDE = 1280
"""Pixels of a picture's longer side; larger ones are reduced when they are decoded."""

TO_OPEN, TO_READ = 15.0, 60.0
"""Seconds until a connection gives its first pictures, and between two packets, before it is closed and opened again."""

_MAX_PIXELS = 2**26  # of a coded picture, as for clips
_ANALYZED = "1000000"  # microseconds of a stream that FFmpeg reads to know it
_FORMATS = (  # that name no other stream
    "avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,webm,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mpjpeg,nut,obu,ogg,vc1,yuv4mpegpipe"
)


class _Kind(NamedTuple):
    """A kind of stream: the protocols and formats that FFmpeg may use for it, and options of its own."""

    protocols: str
    formats: str = _FORMATS
    options: dict[str, str] = {}  # noqa: RUF012  # never changed


_HTTP = "http,https,tcp,tls,httpproxy"
_KINDS = {
    "tcp": _Kind("tcp"),
    "udp": _Kind("udp"),
    "http": _Kind(_HTTP),
    "https": _Kind(_HTTP),
    "rtsp": _Kind("rtsp,rtp,udp,tcp", "rtsp", {"rtsp_transport": "tcp"}),
    "rtsps": _Kind("rtsp,rtp,udp,tcp,tls", "rtsp", {"rtsp_transport": "tcp"}),
    "hls+http": _Kind(_HTTP + ",crypto,data", _FORMATS + ",hls,aac,webvtt"),
    "hls+https": _Kind(_HTTP + ",crypto,data", _FORMATS + ",hls,aac,webvtt"),
    "pipe": _Kind("pipe"),
}


@dataclass
class Connection:
    """An open source.

    Attributes:
        frame_rate: frames per second that it announces.
        frames: seconds on the stream's clock, or None if it has none, and pixels (H, W, 3) uint8 RGB.
        ended: why the frames ended, for people; set when they have.
        damaged: number of packets and pictures so far that were damaged.
    """

    frame_rate: float
    frames: Iterator[tuple[float | None, np.ndarray]]
    ended: str = ""
    damaged: int = 0


Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a source, and raises an OSError if it cannot be opened now."""


def url_of(text: str) -> str | None:
    """Return the URL of a stream as FFmpeg takes it, or None if it is a file or has frames in another way.

    Raises:
        ClipError: it has a scheme that is not one of a stream.

    Example:
        >>> url_of("rtsp://camera/1"), url_of("hls+https://host/live.m3u8"), url_of("-"), url_of("clip.mp4")
        ('rtsp://camera/1', 'https://host/live.m3u8', 'pipe:0', None)
    """
    if text == "-":
        return "pipe:0"
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        return None
    if scheme[1].lower() not in _KINDS:
        known = ", ".join(f"{name}://" for name in _KINDS if name != "pipe")
        raise ClipError(f"{redacted(text)} is no stream; give a camera, a file, - or one of {known}")
    return scheme[1].lower().removeprefix("hls+") + text[len(scheme[1]) :]


def stream(text: str) -> Connect:
    """Return the function that opens a stream, given its URL or "-".

    The function raises an OSError if the stream cannot be opened now.

    Raises:
        ClipError: it is none.
    """
    url = url_of(text)
    if url is None:
        raise ClipError(f"{shortened(text)} is no stream; give a URL, or - for standard input")
    kind = _KINDS["pipe" if text == "-" else text.partition("://")[0].lower()]
    options = {
        "protocol_whitelist": kind.protocols,
        "format_whitelist": kind.formats,
        "analyzeduration": _ANALYZED,
        **kind.options,
    }

    @contextmanager
    def connect() -> Iterator[Connection]:
        try:
            container = av.open(url, "r", options=options, timeout=(TO_OPEN, TO_READ), **UNREADABLE_TAGS)
        except ValueError as error:  # data that is no video, or of a format that names other streams
            hint = f"; a playlist (HLS) is read as hls+{url.partition(':')[0]}://" if kind.protocols == _HTTP else ""
            raise OSError(f"it is no stream of video ({reason_of(error)}){hint}") from None
        except av.error.FFmpegError as error:  # not all are OSErrors
            raise OSError(reason_of(error)) from None
        with container:
            if not container.streams.video:
                raise OSError("it has no video")
            video = container.streams.video[0]
            if video.codec_context is None:
                raise OSError("its video has no decoder")
            video.codec_context.options = {"max_pixels": str(2 * _MAX_PIXELS)}
            video.thread_type = "SLICE"  # threads that take a frame each give it later
            rate = float(video.average_rate or video.guessed_rate or 25)
            connection = Connection(rate if 1 <= rate <= 1000 else 25.0, iter(()))
            connection.frames = _frames(container, video, connection)
            yield connection

    return connect


def _frames(
    container: InputContainer, video: VideoStream, connection: Connection
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield the frames of an open stream, damaged ones included; packets that cannot be decoded are counted."""
    pictures = _Pictures()
    packets = container.demux(video)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            connection.ended = f"the connection is broken ({reason_of(error)})"
            return
        if packet is None:
            return
        connection.damaged += packet.is_corrupt
        try:
            images = packet.decode()
        except av.error.FFmpegError:
            connection.damaged += 1
            continue
        for image in images:
            if isinstance(image, VideoFrame):
                connection.damaged += image.is_corrupt and not packet.is_corrupt
                yield image.time, pictures.rgb(image)


class _Pictures:
    """Pictures of decoded frames."""

    def __init__(self) -> None:
        self._mappers: dict[object, Callable[[VideoFrame], VideoFrame]] = {}

    def rgb(self, image: VideoFrame) -> np.ndarray:
        """Return a frame as (H, W, 3) uint8 RGB, at most `LONGEST_SIDE` pixels long."""
        colour = coded_colour(image)
        if colour.is_hdr:
            looks = image.width, image.height, image.format.name, colour
            if looks not in self._mappers:
                self._mappers = {looks: tone_mapper(image, image.time_base or Fraction(1, 90000))}
            pixels: np.ndarray = self._mappers[looks](image).to_ndarray()
        else:
            pixels = image.to_ndarray(
                format="rgb24",
                src_colorspace=colour.matrix,
                src_color_range=ColorRange(image.color_range) if image.color_range in (1, 2) else None,
            )
        longest = max(pixels.shape[:2])
        if longest > LONGEST_SIDE:
            share = LONGEST_SIDE / longest
            pixels = cv2.resize(pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        return pixels
