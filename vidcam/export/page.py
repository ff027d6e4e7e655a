"""One self-contained page of a clip: the film with its heat, curves, segments and predictions, without any network."""

from __future__ import annotations

import base64
import html
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import jinja2
import matplotlib
import numpy as np
from PIL import Image

from vidcam.errors import ClipError
from vidcam.export.outputs import all_or_nothing, refuse
from vidcam.results.explanation import Explanation
from vidcam.results.localization import Localization
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, distinct, frame_edges, segments_of
from vidcam.untrusted.text import printable
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource
from vidcam.video.writer import FilmWriter, film_size

NAME = "report.html"
COLORMAPS = ("inferno", "viridis", "cividis")
EMBEDDED = 24 * 2**20  # bytes of a film above which the page refers to it
_STRIP = 6  # frames in the filmstrip of a view
_THUMB = 240  # pixels, the longer side of its pictures
_PLAYABLE = {"h264", "vp8", "vp9", "av1"}
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class View:
    """What the page shows at a time: a class, explained by one method at one layer.

    Attributes:
        label: of the class.
        how: the method and the layer.
        probability: of the class in the clip, or None where it is no class.
        scores, evidence: (F,).
        segments: distinct ones, best first.
        maps: (F, h, w) raw heatmaps.
    """

    label: str
    how: str
    probability: float | None
    scores: np.ndarray
    evidence: np.ndarray
    segments: Sequence[Segment]
    maps: np.ndarray

    @cached_property
    def peak(self) -> float:
        """The largest value of the raw maps."""
        return float(self.maps.max(initial=0.0))

    def strongest(self, times: np.ndarray) -> list[int]:
        """Frames with the most evidence, in time, a tenth of the clip or more apart; none with a quarter or less."""
        apart, least = (times[-1] - times[0]) / 10, self.evidence.max(initial=0.0) / 4
        found: list[int] = []
        for frame in np.argsort(-self.evidence, kind="stable"):
            if len(found) == _STRIP or (found and self.evidence[frame] <= least):
                break
            if all(abs(times[frame] - times[other]) >= apart for other in found):
                found.append(int(frame))
        return sorted(found)


def refuse_existing(directory: Path) -> None:
    """Check before any work is done that no page would be overwritten.

    Raises:
        OutputError: there is one, or the directory cannot be one.
    """
    refuse(directory, [directory / NAME])


def write_report(
    found: Sequence[Explanation] | Localization, directory: str | Path, *, embedded: int = EMBEDDED
) -> Path:
    """Write `report.html`, the page of a clip's explanations or of its localization, into a directory.

    Films that a browser plays are put into the page as they are, others as H.264. A film of more than `embedded`
    bytes is referred to: it lies where it lay, or as `clip.mp4` beside the page.

    Args:
        found: of one clip.
        directory: made if it does not exist; a page that is there is replaced.
        embedded: bytes.

    Returns:
        The page.

    Raises:
        ClipError: the clip cannot be read any more.
        OutputError: the directory cannot be written.
    """
    directory = Path(directory)
    with all_or_nothing(directory) as work:
        (work / NAME).write_text(_page(found, work, directory, embedded), encoding="utf-8")
    return directory / NAME


def framed(found: Sequence[Explanation] | Localization) -> str:
    """The page, film and all, in a frame to be put into another page: what a notebook shows.

    Raises:
        ClipError: the clip cannot be read any more.
    """
    with tempfile.TemporaryDirectory() as work:
        page = _page(found, Path(work), Path(work), sys.maxsize)
    style = "width: 100%; height: 62rem; border: 0"
    return f'<iframe title="vidcam report" style="{style}" srcdoc="{html.escape(page)}"></iframe>'


def _page(found: Sequence[Explanation] | Localization, work: Path, directory: Path, embedded: int) -> str:
    first = found if isinstance(found, Localization) else found[0]
    source, times, region, warnings = first.clip, first.times, first.region, first.warnings
    clip = first.opened()
    facts: dict[str, Any]
    top: tuple[tuple[str, float], ...] = ()
    if isinstance(found, Localization):
        views = _views_of_localization(found)
        facts = {"model": found.model, "method": found.method, "layer": found.layer, "curve": found.curve}
    else:
        views, top = [_view_of_explanation(e) for e in found], found[0].top
        facts = {"model": found[0].model, "weights": found[0].weights}
        facts |= found[0].windowing | found[0].computation | found[0].versions
        if (clip.height, clip.width) != found[0].size:
            raise ClipError(f"{source} has changed since it was explained; explain it again")
    film, size = _film(clip, len(times), work, directory, embedded)
    edges = frame_edges(times) - times[0]
    chosen = [view.strongest(times) for view in views]
    data = {
        "edges": [round(float(t), 5) for t in edges],
        "size": [clip.width, clip.height],
        "aspect": round(clip.width * float(clip.sample_aspect_ratio) / clip.height, 5),
        "region": region,
        "views": [_packed(view, frames, float(times[0])) for view, frames in zip(views, chosen)],
        "thumbs": _thumbnails(clip, sorted({frame for frames in chosen for frame in frames})),
        "colours": {name: _coded(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]) for name in COLORMAPS},
    }
    return templated(
        "page.html.j2",
        name=Path(source).name,
        film=film,
        film_size=size,
        image=clip.is_image,
        seconds=float(edges[-1]),
        frames=len(times),
        facts={key: f"{v:.5g}" if isinstance(v, float) else v for key, v in facts.items() if v is not None},
        top=top,
        warnings=warnings,
        views=views,
        colormaps=COLORMAPS,
        # In a script element only "</" and "<!--" end or change it: no "<" is left in the data.
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=_written("page.js"),
    )


def templated(template: str, **values: Any) -> str:
    """A page from one of the templates here, in the style of all of them; text among the values is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=_without_controls
    )
    return environment.from_string(_written(template)).render(style=_written("page.css"), **values)


def _without_controls(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # what a template calls safe is a Markup


def _written(name: str) -> str:
    return (files("vidcam.export") / name).read_text(encoding="utf-8")


def _view_of_explanation(explanation: Explanation) -> View:
    target = explanation.target
    curve = combined_curve(explanation.scores, explanation.evidence) if target.index is not None else np.zeros(0)
    segments = distinct(segments_of(curve, explanation.times, target.label)) if len(curve) > 1 else []
    return View(
        target.label,
        f"{explanation.method} at {explanation.layer}",
        target.probability if target.index is not None else None,
        explanation.scores,
        explanation.evidence,
        segments,
        explanation.maps,
    )


def _views_of_localization(found: Localization) -> list[View]:
    segments = distinct(found.segments)
    return [
        View(
            label,
            f"{found.method} at {found.layer}",
            float(scores.max()),
            scores,
            evidence,
            [s for s in segments if s.label == label],
            maps,
        )
        for label, scores, evidence, maps in zip(found.labels, found.scores, found.evidence, found.maps)
    ]


def _packed(view: View, strongest: list[int], first: float) -> dict[str, Any]:
    peak = float(view.evidence.max(initial=0)) or 1.0
    return {
        "label": view.label,
        "scores": [round(float(v), 4) for v in view.scores],
        "evidence": [round(float(v) / peak, 4) for v in view.evidence],
        "bounded": view.probability is not None,
        "segments": [[round(s.start - first, 4), round(s.end - first, 4), round(s.score, 4)] for s in view.segments],
        "strongest": strongest,
        "grid": list(view.maps.shape[1:]),
        "maps": _coded(np.rint(view.maps / (view.peak or 1.0) * 255).astype(np.uint8)),
    }


def _coded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _film(clip: FrameSource, frames: int, work: Path, directory: Path, embedded: int) -> tuple[str, int]:
    """The source of the page's film of so many frames, and its size in bytes."""
    if clip.is_image:
        picture = _jpeg(next(iter(clip)).pixels, max(clip.width, clip.height))
        return f"data:image/jpeg;base64,{picture}", len(picture) * 3 // 4
    transcoded = work / "clip.mp4"
    source, kind = clip.file or transcoded, _MIME.get(clip.file.suffix.lower(), "") if clip.file else ""
    if not kind or not isinstance(clip, Clip) or clip.codec not in _PLAYABLE:
        source, kind = transcoded, "video/mp4"
        _transcode(clip, frames, transcoded)
    size = source.stat().st_size
    if size > embedded and source is transcoded:
        return transcoded.name, size
    if size > embedded:
        return quote(os.fsencode(os.path.relpath(source.resolve(), directory.resolve()).replace(os.sep, "/"))), size
    content = base64.b64encode(source.read_bytes()).decode("ascii")
    if source is transcoded:
        transcoded.unlink()
    return f"data:{kind};base64,{content}", size


def _transcode(clip: FrameSource, frames: int, path: Path) -> None:
    """Write the frames of a clip that were explained as H.264; the sound of a whole clip goes along."""
    size = film_size(clip.height, clip.width)
    with FilmWriter(
        path,
        size,
        time_base=clip.time_base,
        frame_rate=clip.frame_rate,
        crf=23,
        colour=clip.colour,
        audio_from=clip.sound,
        audio_shift=clip.sound_shift,
    ) as film:
        begins = 0
        for frame in islice(clip, frames):
            if frame.index == 0 and clip.file is None:
                begins = frame.pts
            pixels = frame.pixels
            if pixels.shape[:2] != size:
                pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
            film.write(pixels, frame.pts - begins)


def _thumbnails(clip: FrameSource, frames: Sequence[int]) -> dict[int, str]:
    wanted = set(frames)
    found: dict[int, str] = {}
    for frame in clip:
        if frame.index in wanted:
            found[frame.index] = _jpeg(frame.pixels, _THUMB)
        if len(found) == len(wanted):
            break
    if len(found) < len(wanted):
        raise ClipError(f"{clip.name} has changed since it was explained; explain it again")
    return found


def _jpeg(pixels: np.ndarray, side: int) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    with BytesIO() as buffer:
        image.save(buffer, "JPEG", quality=80)
        return base64.b64encode(buffer.getvalue()).decode("ascii")
