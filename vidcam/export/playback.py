"""Playback: one decoding of a clip, from which all films and pictures of its results are made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from av.video.frame import VideoFrame
from threadpoolctl import threadpool_limits

from vidcam.errors import ClipError, SettingsError, counted
from vidcam.results.explanation import Explanation
from vidcam.results.result import Result
from vidcam.video.colour import Colour
from vidcam.video.cores import cores
from vidcam.video.prefetch import in_order, prefetch
from vidcam.video.reader import Frame
from vidcam.video.source import FrameSource
from vidcam.video.stages import Stages
from vidcam.video.writer import FilmWriter, film_frame

_AHEAD, _AHEAD_BYTES = 4, 1 << 24  # frames that wait between two stages, and their bytes if one has less
_MOST_DRAWING = 4  # threads

T = TypeVar("T")
Look = Callable[[Frame], None]
"""A function that gets a frame and must not change its pixels."""


@dataclass(frozen=True)
class Copy:
    """Another file with pictures of a film, without sound: in another format or size, or of some frames.

    Attributes:
        path: the file; its suffix is that of a format of `vidcam.video.writer.FilmWriter`.
        size: (height, width) of its pictures in pixels, both even.
        pts: frame → the time that it is shown at in this file, in units of `time_base`; other frames are left out.
        time_base: seconds per unit.
        frame_rate: frames per second on average.
    """

    path: Path
    size: tuple[int, int]
    pts: Mapping[int, int]
    time_base: Fraction
    frame_rate: Fraction


@dataclass(frozen=True)
class Film:
    """A film with a picture for every explained frame, at the frame's time.

    Attributes:
        path: the MP4 file.
        size: (height, width) of its pictures in pixels, both even.
        draw: returns a picture (H, W, 3) uint8 RGB, given a frame's upright pixels, which it must not change, and
            index.
        draw_in_planes: returns a picture in the format of a film, given a frame in it, which it must not change, and
            index, on any thread; None if `draw` draws all pictures, and not only those of frames that have no such format.
        begins: seconds on the clip's clock at which the film begins.
        sound: True to copy the clip's sound.
        crf: H.264's constant rate factor.
        copies: further files with its pictures.
    """

    path: Path
    size: tuple[int, int]
    draw: Callable[[np.ndarray, int], np.ndarray]
    begins: float = 0.0
    sound: bool = True
    crf: int = 18
    draw_in_planes: Callable[[VideoFrame, int], VideoFrame] | None = None
    copies: Sequence[Copy] = ()

    def picture(self, frame: Frame, colour: Colour) -> VideoFrame:
        """Return the picture of a frame in the format of a film, given the film's colour."""
        if self.draw_in_planes is not None and frame.planes is not None:
            return self.draw_in_planes(frame.planes, frame.index)
        return film_frame(self.draw(frame.pixels, frame.index), colour)


class Stills(Generic[T]):
    """Pictures of chosen frames.

    Args:
        frames: indices of the frames.
        made: returns a picture, given a frame's upright pixels (H, W, 3) uint8 RGB.

    Attributes:
        found: frame → picture, once the clip was played.
    """

    def __init__(self, frames: Iterable[int], made: Callable[[np.ndarray], T]) -> None:
        self._frames, self._made = set(frames), made
        self.found: dict[int, T] = {}

    def __call__(self, frame: Frame) -> None:
        """Make a picture of the frame if it is one of the chosen frames."""
        if frame.index in self._frames:
            self.found[frame.index] = self._made(frame.pixels)


class _Picture(NamedTuple):
    """A picture of a film.

    Attributes:
        film: of the picture.
        image: the picture in the format of a film; before it is drawn, the frame of the clip.
        at: the files that it is written to, and its times in them.
    """

    film: Film
    image: Frame | VideoFrame
    at: list[tuple[FilmWriter, int]]


def clip_of(explanations: Sequence[Explanation]) -> FrameSource:
    """Return the frames of the clip that all of these explanations are of, ready to be read.

    Raises:
        SettingsError: there is no explanation, or they are of different clips.
        ClipError: the clip is gone, or can be read once only.
    """
    if not explanations:
        raise SettingsError("there is no explanation to write; give one or more of a clip")
    if len({(e.clip, e.frames, e.size, e.stretch) for e in explanations}) > 1:
        raise SettingsError("the explanations are of different clips; give explanations of one clip")
    return explanations[0].opened()


def play(result: Result, clip: FrameSource, films: Sequence[Film] = (), looks: Sequence[Look] = ()) -> Stages:
    """Decode a clip once and make all films and pictures of it: decoding, drawing and encoding at the same time.

    Args:
        result: of the clip.
        clip: its frames.
        films: written while the clip is decoded; complete on return.
        looks: called with every frame in its order, on the thread that draws.

    Returns:
        The seconds of the stages "film_decode_s", "draw_s" and "encode_s".

    Raises:
        ClipError: the clip does not have the frames that were explained.
        OutputError: a film cannot be written.
    """
    stages = Stages()
    # Products of small matrices: the threads that BLAS starts for them would only take the encoder's time.
    with threadpool_limits(1, "blas"), ExitStack() as stack:
        writers = [stack.enter_context(_writer(film, clip)) for film in films]
        copying = [[(copy.pts, stack.enter_context(_copying(copy, clip))) for copy in film.copies] for film in films]

        def waiting() -> Generator[_Picture]:
            with closing(explained_frames(result, clip, stages)) as frames:
                for frame in frames:
                    with stages.busy("draw_s"):
                        for look in looks:
                            look(frame)
                    for film, writer, copies in zip(films, writers, copying):
                        at = [(writer, frame.pts - round(film.begins / clip.time_base))]
                        at += [(copy, pts[frame.index]) for pts, copy in copies if frame.index in pts]
                        picture = _Picture(film, frame, at)
                        in_planes = film.draw_in_planes is not None and frame.planes is not None
                        yield picture if in_planes else drawn(picture)

        def drawn(picture: _Picture) -> _Picture:
            if isinstance(picture.image, VideoFrame):
                return picture
            with stages.busy("draw_s"):
                return picture._replace(image=picture.film.picture(picture.image, clip.colour))

        pictures = in_order(drawn, stack.enter_context(closing(waiting())), _drawing_threads())
        ahead = min((_ahead(*film.size) for film in films), default=_AHEAD)
        for picture in stack.enter_context(closing(prefetch(pictures, ahead))):
            assert isinstance(picture.image, VideoFrame)
            for writer, pts in picture.at:
                with stages.busy("encode_s"):
                    writer.encode(picture.image, pts)
    return stages


def explained_frames(result: Result, clip: FrameSource, stages: Stages) -> Generator[Frame]:
    """Yield the frames that were explained, decoded ahead on a thread; count the seconds of "film_decode_s".

    Raises:
        ClipError: the clip does not have exactly these frames.
    """
    size = result.size if isinstance(result, Explanation) else (clip.height, clip.width)
    found, more = 0, False
    with closing(prefetch(stages.timed("film_decode_s", clip), _ahead(clip.height, clip.width))) as frames:
        for frame in frames:
            more = found == result.frames
            if more or (clip.height, clip.width) != size:
                break
            yield frame
            found += 1
    if more or found != result.frames:
        match = "matches" if found == 1 else "match"
        matching = f"{found} of {counted(result.frames, 'frame')} {match}"
        if more:
            matching = f"it has more than {counted(found, 'frame')}"
        raise ClipError(f"{clip.name} has changed since it was explained: {matching}; explain it again")


def _ahead(height: int, width: int) -> int:
    """Return the number of frames of a size in pixels that wait between two stages: few if they are large."""
    return min(_AHEAD, max(1, _AHEAD_BYTES * 2 // (3 * height * width)))  # 12 bits a pixel


def _drawing_threads() -> int:
    """Return the number of threads that draw in planes; the other cores decode and encode."""
    return min(_MOST_DRAWING, max(1, cores() // 4))


def _writer(film: Film, clip: FrameSource) -> FilmWriter:
    return FilmWriter(
        film.path,
        film.size,
        time_base=clip.time_base,
        frame_rate=clip.frame_rate,
        crf=film.crf,
        colour=clip.colour,
        audio_from=clip.sound if film.sound else None,
        audio_shift=clip.sound_shift,
    )


def _copying(copy: Copy, clip: FrameSource) -> FilmWriter:
    return FilmWriter(copy.path, copy.size, time_base=copy.time_base, frame_rate=copy.frame_rate, colour=clip.colour)
