"""Sources of frames: the interface of everything that can be explained, and its kinds beside video files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from vidcam.errors import ClipError, SettingsError
from vidcam.untrusted.text import shortened
from vidcam.video.colour import BT709, Colour
from vidcam.video.fetched import FetchedClip
from vidcam.video.reader import Clip, Frame
from vidcam.video.urls import is_url

Source: TypeAlias = "str | Path | FrameSource | np.ndarray | Sequence[str | Path] | Iterable[np.ndarray]"
"""Everything that `source_of` accepts."""

_PICTURES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
_ASSUMED_RATE = 25.0  # frames per second, where neither the source nor the network says


@runtime_checkable
class FrameSource(Protocol):
    """Upright frames in the order of their times.

    Attributes:
        name: name in results; of a file its path.
        width, height: of a frame in pixels.
        sample_aspect_ratio: width of a pixel over its height.
        frame_rate: frames per second, on average.
        frame_rate_from: where that is known from: "header", "times" of the frames, "given", or "assumed".
        time_base: seconds per unit of a frame's pts.
        colour: coding of a film made from it.
        frames_announced: expected number of frames, 0 if it is not known.
        is_image: True if it is a picture, which has one frame and no time.
        start, end: seconds of the part that is read; None at the source's own end.
        file: a video file with the same content, or None.
        sound: a file with the sound of the frames, or None.
        sound_shift: seconds to add to the times of that sound.
        reopens: True if it can be read more than once.
        warnings: problems of the last reading that did not end it, for people to read.
    """

    name: str
    width: int
    height: int
    sample_aspect_ratio: Fraction
    frame_rate: Fraction
    frame_rate_from: str
    time_base: Fraction
    colour: Colour
    frames_announced: int
    is_image: bool
    start: float | None
    end: float | None
    file: Path | None
    sound: Path | None
    sound_shift: float
    reopens: bool
    warnings: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames from the start."""
        ...

    def reopened(self) -> FrameSource:
        """Return the same source for another reading at the same time.

        Raises:
            ClipError: it can be read once only, or is gone.
        """
        ...


class _Steady:
    """Frames at a constant rate: everything of a `FrameSource` except the pixels."""

    sample_aspect_ratio = Fraction(1)
    colour = BT709
    start: float | None = None
    end: float | None = None
    file: Path | None = None
    sound: Path | None = None
    sound_shift = 0.0
    is_image = False
    reopens = True
    frame_rate_from = "given"

    def __init__(self, name: str, first: np.ndarray, frame_rate: float, frames: int) -> None:
        self.name, self.frames_announced = name, frames
        self._check(first, 0)
        self.height, self.width = first.shape[:2]
        given: object = frame_rate
        if not isinstance(given, Real) or not 0.01 <= frame_rate < 1e6:
            raise SettingsError(
                f"frame rate {shortened(frame_rate)} is not valid; give frames per second, from 0.01 to 1,000,000"
            )
        self.frame_rate = Fraction(frame_rate).limit_denominator(1001)
        self.time_base = 1 / self.frame_rate
        self.warnings: list[str] = []

    def _pixels(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Frame]:
        for index, pixels in enumerate(self._pixels()):
            self._check(pixels, index)
            if pixels.shape[:2] != (self.height, self.width):
                raise ClipError(
                    f"{self.name}: frame {index} has {pixels.shape[1]}x{pixels.shape[0]} pixels, those before it "
                    f"{self.width}x{self.height}; give frames of one size"
                )
            yield Frame(index, float(index / self.frame_rate), index, pixels)

    def _check(self, pixels: np.ndarray, index: int) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ClipError(
                f"{self.name}: frame {index} is {pixels.dtype} of shape {tuple(pixels.shape)}; give frames "
                "(height, width, 3) of RGB in uint8, 0 to 255"
            )


class ArraySource(_Steady):
    """Frames in memory.

    Args:
        frames: (T, H, W, 3) uint8 RGB, an array or a value that NumPy converts to one.
        frame_rate: frames per second.
        name: name in results.

    Raises:
        ClipError: it has another shape or another type, or no frame.

    Example:
        >>> source = ArraySource(np.zeros((8, 4, 6, 3), np.uint8), frame_rate=16)
        >>> [frame.time for frame in source][:3]
        [0.0, 0.0625, 0.125]
    """

    def __init__(self, frames: Any, frame_rate: float, name: str = "array") -> None:
        try:
            self.frames = np.asarray(frames.detach().cpu() if hasattr(frames, "detach") else frames)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ClipError(f"{name} is no array ({error}); give frames (time, height, width, 3) in uint8") from error
        if self.frames.ndim != 4 or not len(self.frames):
            raise ClipError(
                f"{name} has the shape {self.frames.shape}; give frames (time, height, width, 3) of RGB in uint8"
            )
        super().__init__(name, self.frames[0], frame_rate, len(self.frames))

    def _pixels(self) -> Iterator[np.ndarray]:
        yield from self.frames

    def reopened(self) -> ArraySource:
        """Return the same frames for another reading."""
        return ArraySource(self.frames, float(self.frame_rate), self.name)


class PicturesSource(_Steady):
    """Pictures on the disk: those of a folder in natural order (frame2 before frame10), or a list in its own order.

    Args:
        pictures: the folder, or the files.
        frame_rate: frames per second.

    Raises:
        ClipError: there is no picture, or one cannot be read.

    Example:
        >>> PicturesSource("frames", frame_rate=25).frames_announced     # doctest: +SKIP
        250
    """

    def __init__(self, pictures: str | Path | Sequence[str | Path], frame_rate: float) -> None:
        self._given = pictures
        if isinstance(pictures, str | Path):
            folder = Path(pictures)
            found = [p for p in folder.iterdir() if p.suffix.lower() in _PICTURES and not p.name.startswith(".")]
            self.paths = sorted(found, key=lambda path: _natural(path.name))
            name = str(folder)
        else:
            self.paths = [Path(path) for path in pictures]
            name = str(self.paths[0].parent) if self.paths else "the list"
        if not self.paths:
            raise ClipError(f"{name} holds no pictures ({', '.join(sorted(_PICTURES))}); give a video or pictures")
        super().__init__(name, _picture(self.paths[0])[0], frame_rate, len(self.paths))

    def _pixels(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            pixels, warnings = _picture(path)
            self.warnings += [warning for warning in warnings if warning not in self.warnings]
            yield pixels

    def reopened(self) -> PicturesSource:
        """Return the same pictures for another reading."""
        return PicturesSource(self._given, float(self.frame_rate))


class OnceSource(_Steady):
    """Frames that can be read once: of a generator, a camera, a queue.

    Args:
        frames: (H, W, 3) uint8 RGB each.
        frame_rate: frames per second.
        name: name in results.

    Raises:
        ClipError: there is no frame, or the first has another shape or type.

    Example:
        >>> camera = (np.zeros((4, 6, 3), np.uint8) for _ in range(3))
        >>> len(list(OnceSource(camera, frame_rate=25)))
        3
    """

    reopens = False

    def __init__(self, frames: Iterable[Any], frame_rate: float, name: str = "frames") -> None:
        self._coming = iter(frames)
        first = next(self._coming, None)
        if first is None:
            raise ClipError(f"{name} holds no frame; give frames (height, width, 3) of RGB in uint8")
        self._first: list[np.ndarray] | None = [np.asarray(first)]
        super().__init__(name, self._first[0], frame_rate, 0)

    def _pixels(self) -> Iterator[np.ndarray]:
        if self._first is None:
            raise self._gone()
        first, self._first = self._first, None
        return chain(first, map(np.asarray, self._coming))

    def reopened(self) -> OnceSource:
        """Raise the error of a source that can be read once only.

        Raises:
            ClipError: always.
        """
        raise self._gone()

    def _gone(self) -> ClipError:
        return ClipError(f"{self.name} can be read once only; give an array, a folder or a file to read it again")


def source_of(given: Source, frame_rate: float | None = None, assumed: float | None = None) -> FrameSource:
    """Return a source of frames for what the user gave.

    Args:
        given: a video file, a URL, a folder or a list of pictures, an array or tensor (T, H, W, 3) uint8 RGB, an
            iterable of frames (H, W, 3), or a source already.
        frame_rate: frames per second of frames without times.
        assumed: frames per second if `frame_rate` is not given, such as the network's own; the source's warnings say
            so.

    Raises:
        ClipError: it holds no frames that can be read.
        SettingsError: a frame rate is given for frames that have times.

    Example:
        >>> source_of(np.zeros((8, 4, 6, 3), np.uint8), frame_rate=16).frame_rate
        Fraction(16, 1)
    """
    rate = frame_rate if frame_rate is not None else assumed or _ASSUMED_RATE
    source = _source(given, rate)
    timed = isinstance(source, Clip)
    if (timed or source is given) and frame_rate is not None:
        raise SettingsError(f"{source.name} has a frame rate of its own; leave out frame_rate={frame_rate:g}")
    if source is not given and not timed and frame_rate is None:
        source.frame_rate_from = "assumed"
        source.warnings.append(
            f"{source.name}: no frame rate was given; "
            f"{'1 frame a second is' if rate == 1 else f'{rate:g} frames a second are'} assumed for times in seconds"
        )
    return source


def _source(given: Source, rate: float) -> FrameSource:
    if isinstance(given, str) and is_url(given):
        return FetchedClip(given)
    if isinstance(given, str | Path):
        return PicturesSource(given, rate) if Path(given).is_dir() else Clip(given)
    if isinstance(given, FrameSource):
        return given
    if hasattr(given, "__array__"):
        return ArraySource(given, rate)
    if isinstance(given, Sequence):
        if given and all(isinstance(one, str | Path) for one in given):
            return PicturesSource(given, rate)
        return ArraySource(given, rate)
    if isinstance(given, Iterable):
        return OnceSource(given, rate)
    raise ClipError(
        f"a {type(given).__name__} holds no frames; give a file, a URL, a folder of pictures, an array (T, H, W, 3) or frames"
    )


def _picture(path: Path) -> tuple[np.ndarray, list[str]]:
    clip = Clip(path)
    if not clip.is_image:
        raise ClipError(f"{path} is a video and not a picture; give pictures, or one video")
    (frame,) = clip
    return frame.pixels, clip.warnings


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
