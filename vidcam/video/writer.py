"""Films: H.264 that keeps the times and the sound of its clip, and WebM, GIF and WebP without sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from PIL import Image

from vidcam.errors import OutputError
from vidcam.video.colour import BT709, Colour
from vidcam.video.container import audio_stream, open_media
from vidcam.video.cores import cores
from vidcam.video.planes import FORMAT
from vidcam.video.reader import LONGEST_GAP, SHOWN_GAP

_MOST_THREADS = 8  # of an encoder, each of which holds pictures of its own
_LONGER_SOUND = 1.0  # seconds that sound may last longer than the frames
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_MP4_AUDIO = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus"}


LONGEST = 8192
"""Largest longer side of a film in pixels."""


def film_size(height: float, width: float) -> tuple[int, int]:
    """Return the size of a film for a picture: (height, width) in pixels, both even, from 2 to `LONGEST`.

    Example:
        >>> film_size(1, 1), film_size(4, 60000), film_size(1080, 1920)
        ((2, 2), (2, 8192), (1080, 1920))
    """
    scale = min(1.0, LONGEST / max(height, width))
    return even(height * scale), even(width * scale)


def even(value: float) -> int:
    """Return the nearest even number of pixels, at least 2."""
    return max(2, 2 * round(value / 2))


class _Codec(NamedTuple):
    """FFmpeg's names of a file format, its encoder and the pixel format, and the encoder's options."""

    container: str
    encoder: str
    pixel_format: str
    options: dict[str, str]


_CODECS = {
    # Half the time of superfast at the same error, for films a fifth larger; without the filter the error grows.
    ".mp4": _Codec("mp4", "libx264", FORMAT, {"preset": "ultrafast", "x264-params": "deblock=1,0,0"}),
    ".webm": _Codec("webm", "libvpx-vp9", FORMAT, {"b": "0", "crf": "30", "deadline": "realtime", "cpu-used": "6"}),
    ".gif": _Codec("gif", "gif", "pal8", {}),
    ".webp": _Codec("webp", "libwebp_anim", FORMAT, {"quality": "80"}),
}


class FilmWriter:
    """A writer of frames, each with its own time, to a file that a browser can play; an MP4 file while it loads.

    Args:
        path: the file, .webm, .gif, .webp, or else MP4; its directory exists. It is complete once the `with` is left without
            an exception.
        size: (height, width) of the film in pixels, both even; frames of another size are scaled.
        time_base: seconds per unit of the frames' pts.
        frame_rate: frames per second on average, for the encoder's rate control.
        crf: H.264's constant rate factor, 0 to 51; less is better and larger. Of MP4 alone.
        colour: coding of the frames.
        audio_from: a video file whose audio is copied into an MP4 file, to the end of the frames; a codec that MP4 cannot
            carry is encoded as AAC.
        audio_shift: seconds added to its times.
        fragmented: True for a file that can be played while it grows, up to a second before the last frame written; it has
            a key frame each second, and no index.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        time_base: Fraction,
        frame_rate: Fraction,
        crf: int = 18,
        colour: Colour = BT709,
        audio_from: Path | None = None,
        audio_shift: float = 0.0,
        fragmented: bool = False,
    ) -> None:
        self.path = path
        height, width = self._size = size
        self._codec = _CODECS.get(path.suffix, _CODECS[".mp4"])
        options, quality = {"loop": "0"} if path.suffix == ".webp" else {}, self._codec.options
        if self._codec.container == "mp4":
            # The start of the first frame is stored in units of the movie's time scale, a millisecond by default.
            options = {"movflags": "+faststart", "movie_timescale": str(max(1000, time_base.denominator))}
            if fragmented:
                options |= {"movflags": "+empty_moov+default_base_moof+frag_keyframe", "flush_packets": "1"}
            quality = {**quality, "crf": str(crf)}
        try:
            self._film = av.open(f"file:{path}", "w", format=self._codec.container, options=options)
            stream = self._film.add_stream(self._codec.encoder, rate=frame_rate, options=quality)
            assert isinstance(stream, VideoStream)
            self._video = stream
            context = self._video.codec_context
            context.width, context.height, context.pix_fmt = width, height, self._codec.pixel_format
            context.time_base = time_base
            context.max_b_frames = 0
            if not fragmented:  # a film that grows is encoded without delay, its pictures in slices
                context.thread_type, context.thread_count = "FRAME", min(_MOST_THREADS, cores())
            context.colorspace = colour.matrix
            context.color_primaries, context.color_trc = colour.primaries, colour.transfer
            context.color_range = ColorRange.MPEG
            self._audio = _AudioCopy(audio_from, self._film, audio_shift) if audio_from is not None else None
            self._film.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise OutputError(f"{path} cannot be written ({error}); give a directory that can be") from error
        self._time_base, self._frame_rate, self._colour = time_base, frame_rate, colour
        self._last: int | None = None
        self._key_every = round(1 / time_base) if fragmented else None
        self._next_key = 0  # pts from which on a frame begins a fragment
        self._closed = 0  # units of time that gaps were shortened by

    def __enter__(self) -> FilmWriter:
        return self

    def write(self, pixels: np.ndarray, pts: int) -> None:
        """Append a frame (H, W, 3) uint8 RGB shown from `pts` on; times must rise."""
        self.encode(film_frame(pixels, self._colour), pts)

    def encode(self, frame: av.VideoFrame, pts: int) -> None:
        """Append a frame of `film_frame` shown from `pts` on; times must rise. Gaps beyond `LONGEST_GAP` shrink."""
        if self._last is not None and pts - self._last > LONGEST_GAP / self._time_base:
            self._closed += pts - self._last - round(SHOWN_GAP / self._time_base)
            if self._audio is not None:  # it would go on in the gap
                self._audio.close()
                self._audio = None
        self._last = pts
        frame = self._fitted(frame)
        frame.pts, frame.time_base = pts - self._closed, self._time_base
        if self._key_every is not None and frame.pts >= self._next_key:
            frame.pict_type, self._next_key = PictureType.I, frame.pts + self._key_every
        self._mux(self._video.encode(frame))
        if self._audio is not None:
            self._mux(self._audio.until(float(pts * self._time_base)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._mux(self._video.encode(None))
                if self._audio is not None and self._last is not None:
                    ends = float(self._last * self._time_base + 1 / self._frame_rate)
                    self._mux(self._audio.until(ends + _LONGER_SOUND))
        finally:
            if self._audio is not None:
                self._audio.close()
            try:
                self._film.close()
            except (av.error.FFmpegError, OSError) as failure:
                if error is None:
                    raise self._failed(failure) from failure

    def _fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in the size and the pixel format of the film."""
        height, width = self._size
        if self._codec.pixel_format == FORMAT:
            if (frame.height, frame.width) == self._size:
                return frame
            return frame.reformat(width, height, interpolation="AREA", threads=1)
        rgb = frame.reformat(
            width,
            height,
            "rgb24",
            src_colorspace=self._colour.colorspace,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation="AREA",
            threads=1,
        )
        return _with_palette(rgb.to_ndarray())

    def _mux(self, packets: list[Packet[Any]] | Iterator[Packet[Any]]) -> None:
        try:
            for packet in packets:
                self._film.mux(packet)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputError:
        return OutputError(f"{self.path} cannot be written ({error}); is the disk full?")


def _with_palette(pixels: np.ndarray) -> av.VideoFrame:
    """Return a frame (H, W, 3) uint8 RGB in 256 colours of its own, dithered."""
    reduced = Image.fromarray(pixels).quantize(
        256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.FLOYDSTEINBERG
    )
    chosen = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)  # ARGB
    palette[: len(chosen), 1:] = chosen
    return av.VideoFrame.from_ndarray((np.asarray(reduced), palette), format="pal8")  # type: ignore[arg-type]


def join_films(films: Sequence[Path], path: Path, step: Fraction) -> None:
    """Join films without sound one after the other into one; their coded frames are copied.

    Args:
        films: made by `FilmWriter` with the same size, time base and quality, each beginning at 0.
        path: of the joined film.
        step: seconds from the last frame of a film to the first of the next.

    Raises:
        OutputError: the film cannot be written.
    """
    try:
        with (
            open_media(films[0]) as first,
            av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as joined,
        ):
            stream = joined.add_stream_from_template(first.streams.video[0])
            begins = last = Fraction(0)  # seconds
            for film in films:
                with open_media(film) as source:
                    for packet in source.demux(source.streams.video[0]):
                        if packet.pts is None or packet.dts is None:  # the empty one behind the last
                            continue
                        shift = round(begins / packet.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        last = packet.pts * packet.time_base
                        joined.mux(packet)
                begins = last + step
    except (av.error.FFmpegError, OSError) as error:
        raise OutputError(f"{path} cannot be written ({error}); is the disk full?") from error


def film_frame(pixels: np.ndarray, colour: Colour) -> av.VideoFrame:
    """Return a frame (H, W, 3) uint8 RGB in the pixel format of a film; may run on another thread than the writer."""
    frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(format=FORMAT, dst_colorspace=colour.colorspace, dst_color_range=ColorRange.MPEG, threads=1)


def _aac_rate(rate: int) -> int:
    """Return the highest sampling rate of AAC, in hertz, that is not above `rate`; its lowest if there is none."""
    return next((possible for possible in _AAC_RATES if possible <= rate), _AAC_RATES[-1])


class _AudioCopy:
    """The audio packets of a file, in time order, for a film."""

    def __init__(self, source: Path, film: av.container.OutputContainer, shift: float) -> None:
        self._shift = shift
        self._opened = ExitStack()
        self._source = self._opened.enter_context(open_media(source))
        stream = audio_stream(self._source)
        if stream is None:
            raise ValueError(f"{source} has no audio stream that can be decoded")
        low_mp3 = stream.codec_context.name.startswith("mp3") and stream.rate < 16000  # MP4 takes MPEG-1 and 2 only
        if stream.codec_context.name in _MP4_AUDIO and not low_mp3:
            self._packets = self._copied(stream, film.add_stream_from_template(stream))
        else:
            self._packets = self._encoded(stream, film.add_stream("aac", rate=_aac_rate(stream.rate)))
        self._next: Packet[Any] | None = None

    def until(self, seconds: float) -> Iterator[Packet[Any]]:
        """Yield the packets that begin at or before a time in seconds."""
        while True:
            packet = self._next or self._shifted()
            self._next = packet
            if packet is None or (packet.pts is not None and float(packet.pts * packet.time_base) > seconds):
                return
            self._next = None
            yield packet

    def _shifted(self) -> Packet[Any] | None:
        packet = next(self._packets, None)
        if packet is not None and packet.pts is not None and self._shift:
            units = round(self._shift / packet.time_base)
            packet.pts, packet.dts = packet.pts + units, None if packet.dts is None else packet.dts + units
        return packet

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def _copied(self, stream: AudioStream, target: AudioStream) -> Iterator[Packet[Any]]:
        try:
            last = None
            for packet in self._source.demux(stream):
                if packet.dts is not None and (last is None or packet.dts > last):  # MP4 takes rising times only
                    last = packet.dts
                    packet.stream = target
                    yield packet
        except av.error.FFmpegError:
            return  # a broken stream ends here; the reader of its frames has said so

    def _encoded(self, stream: AudioStream, target: AudioStream) -> Iterator[Packet[Any]]:
        try:
            for frame in self._source.decode(stream):
                yield from target.encode(frame)
        except av.error.FFmpegError:
            pass
        yield from target.encode(None)
