"""The clip in a page: the film that a browser plays, embedded or beside the page, and the colours and maps of its heat."""

from __future__ import annotations

import base64
import os
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import cv2
import matplotlib
import numpy as np
from PIL import Image

from vidcam.export.playback import Film, Look, Stills
from vidcam.results.drawing import COLORMAPS
from vidcam.video.planes import copied
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource
from vidcam.video.writer import film_size

EMBEDDED = 24 * 2**20  # bytes of a film above which a page refers to it
_PLAYABLE = {"h264", "vp8", "vp9", "av1"}
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


class EmbeddedClip:
    """The clip of a page, as a film or a picture that a browser shows.

    A film that a browser plays is taken as it is, another one as H.264.

    Args:
        clip: its frames.
        first: time of its first explained frame in seconds.
        film: path of the film that is made if a browser does not play the clip, in the folder that is written into.
        directory: the final directory of the page.
        embedded: largest size of a film inside the page, in bytes; a larger one is linked.

    Attributes:
        films, looks: arguments of `playback.play` that collect the film, or the picture.
    """

    def __init__(self, clip: FrameSource, first: float, film: Path, directory: Path, embedded: int = EMBEDDED) -> None:
        self._clip, self._made, self._directory, self._embedded = clip, film, directory, embedded
        self._picture = Stills([0] if clip.is_image else [], jpeg)
        self.looks: list[Look] = [self._picture]
        self.films: list[Film] = []
        if not clip.is_image and not _playable(clip):
            self.films.append(_transcoded(clip, film, first))

    def source(self) -> tuple[str, int]:
        """Return the URL of the film or picture, and its size in bytes, after the clip was played for it."""
        if self._clip.is_image:
            picture = self._picture.found[0]
            return f"data:image/jpeg;base64,{picture}", len(picture) * 3 // 4
        source = self._made if self.films else self._clip.file
        assert source is not None  # a clip that is playable is a file
        size = source.stat().st_size
        if size > self._embedded and self.films:
            return self._made.name, size
        if size > self._embedded:
            path = os.path.relpath(source.resolve(), self._directory.resolve()).replace(os.sep, "/")
            return quote(os.fsencode(path)), size
        content = base64.b64encode(source.read_bytes()).decode("ascii")
        if self.films:
            self._made.unlink()
        return f"data:{_MIME[source.suffix.lower()]};base64,{content}", size


def coded_colours() -> dict[str, str]:
    """Return the colour maps that a page offers: 256 RGB colours of 8 bits each, in Base64."""
    return {name: _coded(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]) for name in COLORMAPS}


def coded_maps(maps: np.ndarray, peak: float) -> str:
    """Return maps (F, h, w) as bytes in Base64, `peak` as 255.

    Args:
        maps: raw heat.
        peak: raw heat at which the colours end; 0 if there is no heat.
    """
    return _coded(np.rint(maps / (peak or 1.0) * 255).astype(np.uint8))


def jpeg(pixels: np.ndarray, side: int | None = None) -> str:
    """Return a picture as JPEG in Base64.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        side: maximum number of pixels of its longer side.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side or max(image.size),) * 2)
    with BytesIO() as buffer:
        image.save(buffer, "JPEG", quality=80)
        return base64.b64encode(buffer.getvalue()).decode("ascii")


def _coded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _playable(clip: FrameSource) -> bool:
    """Return True if the clip's own file is a film that a browser plays."""
    known = clip.file is not None and clip.file.suffix.lower() in _MIME
    return known and isinstance(clip, Clip) and clip.codec in _PLAYABLE


def _transcoded(clip: FrameSource, path: Path, first: float) -> Film:
    """Return the film that holds the clip as H.264.

    A file keeps its times and its sound; other sources begin at time `first`.
    """
    size = film_size(clip.height, clip.width)

    def draw(pixels: np.ndarray, frame: int) -> np.ndarray:
        return pixels if pixels.shape[:2] == size else cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)

    whole = size == (clip.height, clip.width)
    in_planes = (lambda image, frame: copied(image)) if whole else None
    return Film(path, size, draw, 0.0 if clip.file is not None else first, crf=23, draw_in_planes=in_planes)
