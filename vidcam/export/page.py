"""The page of a clip: one self-contained HTML file with the film and its heatmaps, curves, segments and predictions."""

from __future__ import annotations

import base64
import html
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import jinja2
import matplotlib
import numpy as np
from PIL import Image

from vidcam.errors import counted
from vidcam.export.outputs import all_or_nothing
from vidcam.export.playback import Film, Look, Stills, clip_of, play
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.localization import Localization
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, distinct, frame_edges, segments_of
from vidcam.untrusted.text import printable
from vidcam.video.planes import copied
from vidcam.video.reader import Clip
from vidcam.video.source import FrameSource
from vidcam.video.writer import film_size

COLORMAPS = ("inferno", "viridis", "cividis")
EMBEDDED = 24 * 2**20  # bytes of a film above which the page refers to it
_STRIP = 6  # frames in the filmstrip of a view
_THUMB = 240  # pixels, the longer side of its pictures
_PLAYABLE = {"h264", "vp8", "vp9", "av1"}
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class PageOutputs:
    """The paths of the page, and of the film beside it if that is too large to be part of the page."""

    page: Path
    film: Path

    @classmethod
    def within(cls, directory: Path) -> PageOutputs:
        """Return the paths in a directory."""
        return cls(directory / "report.html", directory / "report.mp4")


@dataclass(frozen=True)
class View:
    """One class, explained by one method at one layer; the page shows one view at a time.

    Attributes:
        target: the class, or another target.
        how: the method and the layer.
        scores: (F,) probability of the class around each frame, or the value.
        evidence: (F,) in the unit of the maps.
        segments: distinct ones, best first.
        maps: (F, h, w) raw heatmaps.
        peak: raw heat at which the colours end; 0 if there is no heat.
        highest: raw evidence at which the scale of the curve ends.
        check: the result of the check of the maps in words; "" if none was made, or it is among the warnings.
    """

    target: ExplainedTarget
    how: str
    scores: np.ndarray
    evidence: np.ndarray
    segments: Sequence[Segment]
    maps: np.ndarray
    peak: float
    highest: float
    check: str = ""

    def strongest(self, times: np.ndarray) -> list[int]:
        """Return the frames with the most evidence, in time, a tenth of the clip or more apart.

        Frames with a quarter of the highest evidence or less are left out, and all frames if there is no evidence.

        Args:
            times: (F,) seconds.
        """
        apart, least = (times[-1] - times[0]) / 10, self.evidence.max(initial=0.0) / 4
        found: list[int] = []
        for frame in np.argsort(-self.evidence, kind="stable"):
            if len(found) == _STRIP or self.evidence[frame] <= least:
                break
            if all(abs(times[frame] - times[other]) >= apart for other in found):
                found.append(int(frame))
        return sorted(found)


def write_report(
    found: Sequence[Explanation] | Localization, directory: str | Path, *, embedded: int = EMBEDDED
) -> Path:
    """Write `report.html`, the page of a clip's explanations or of its localization, and return its path.

    A film that a browser plays is embedded as it is, another one as H.264. A film of more than `embedded` bytes is
    linked: the clip's own file, or `report.mp4` beside the page. The clip is decoded once.

    Args:
        found: explanations of one clip, or a localization.
        directory: made if it does not exist; a page that exists is replaced.
        embedded: largest size of an embedded film, in bytes.

    Raises:
        SettingsError: there is no explanation, or they are of different clips.
        ClipError: the clip has changed, is gone, or can be read once only.
        OutputError: the directory cannot be written.

    Example:
        >>> import vidcam
        >>> write_report(vidcam.explain("clip.mp4"), "report")      # doctest: +SKIP
        PosixPath('report/report.html')
    """
    directory = Path(directory)
    clip = _clip(found)
    with all_or_nothing(directory, (found if isinstance(found, Localization) else found[0]).file) as work:
        page = Page(found, clip, work, directory, embedded)
        page.play()
        page.write()
    return PageOutputs.within(directory).page


def iframe(found: Sequence[Explanation] | Localization) -> str:
    """Return the page, its film embedded, as an HTML frame inside another page, such as a notebook.

    Raises:
        ClipError: the clip has changed, is gone, or can be read once only.
    """
    with tempfile.TemporaryDirectory() as work:
        page = Page(found, _clip(found), Path(work), Path(work), sys.maxsize)
        page.play()
        text = page.html()
    style = "width: 100%; height: 62rem; border: 0"
    return f'<iframe title="vidcam report" style="{style}" srcdoc="{html.escape(text)}"></iframe>'


class Page:
    """The page of a clip in two steps: the clip is played for it, then the page is written.

    Args:
        found: explanations of one clip, or a localization.
        clip: its frames.
        work: the folder that the page is written into.
        directory: the final directory of the page.
        embedded: largest size of an embedded film, in bytes.

    Attributes:
        films, looks: arguments of `playback.play` that collect the page's film and pictures.
    """

    def __init__(
        self,
        found: Sequence[Explanation] | Localization,
        clip: FrameSource,
        work: Path,
        directory: Path,
        embedded: int = EMBEDDED,
    ) -> None:
        self._first: Explanation | Localization = found if isinstance(found, Localization) else found[0]
        self._facts: dict[str, Any]
        self._top: tuple[tuple[str, float], ...] = ()
        if isinstance(found, Localization):
            self._views, self._warnings = _views_of_localization(found), list(found.warnings)
            self._facts = {"model": found.model, "method": found.method, "layer": found.layer, "curve": found.curve}
        else:
            self._views, self._top = [_view_of_explanation(e) for e in found], found[0].top
            self._warnings = list(dict.fromkeys(warning for e in found for warning in e.warnings))
            self._facts = {"model": found[0].model, "weights": found[0].weights}
            self._facts |= found[0].windowing | found[0].computation | found[0].versions
        self._facts["frame_rate"] = f"{self._first.frame_rate:.4g}, {self._first.frame_rate_from}"
        self._clip, self._directory, self._embedded = clip, directory, embedded
        self._written = PageOutputs.within(work)
        self._chosen = [view.strongest(self._first.times) for view in self._views]
        self._thumbs = Stills((frame for frames in self._chosen for frame in frames), _thumbnail)
        self._picture = Stills([0] if clip.is_image else [], _jpeg)
        self.looks: list[Look] = [self._thumbs, self._picture]
        self.films: list[Film] = []
        if not clip.is_image and not _playable(clip):
            self.films.append(_transcoded(clip, self._written.film, float(self._first.times[0])))

    def play(self) -> None:
        """Play the clip for the page alone."""
        play(self._first, self._clip, self.films, self.looks)

    def write(self) -> None:
        """Write the page into its folder, after the clip was played for it."""
        self._written.page.write_text(self.html(), encoding="utf-8")

    def html(self) -> str:
        """Return the page as HTML, after the clip was played for it."""
        clip, times, views = self._clip, self._first.times, self._views
        film, size = self._film()
        edges = frame_edges(times) - times[0]
        data = {
            "edges": [round(float(t), 5) for t in edges],
            "size": [clip.width, clip.height],
            "aspect": round(clip.width * float(clip.sample_aspect_ratio) / clip.height, 5),
            "region": self._first.region,
            "views": [_packed(view, frames, float(times[0])) for view, frames in zip(views, self._chosen)],
            "thumbs": self._thumbs.found,
            "colours": {
                name: _coded(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]) for name in COLORMAPS
            },
        }
        return render_template(
            "page.html.j2",
            name=Path(self._first.clip).name,
            film=film,
            film_size=size,
            image=clip.is_image,
            seconds=float(edges[-1]),
            frames=counted(len(times), "frame"),
            facts={k: f"{v:.5g}" if isinstance(v, float) else v for k, v in self._facts.items() if v is not None},
            top=self._top,
            warnings=self._warnings,
            split=isinstance(self._first, Explanation) and self._first.motion is not None,
            views=views,
            colormaps=COLORMAPS,
            # In a script element only "</" and "<!--" end or change it: no "<" is left in the data.
            data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
            script=_packaged("page.js"),
        )

    def _film(self) -> tuple[str, int]:
        """Return the URL of the page's film, and its size in bytes."""
        if self._clip.is_image:
            picture = self._picture.found[0]
            return f"data:image/jpeg;base64,{picture}", len(picture) * 3 // 4
        made = self._written.film
        source = made if self.films else self._clip.file
        assert source is not None  # a clip that is playable is a file
        size = source.stat().st_size
        if size > self._embedded and self.films:
            return made.name, size
        if size > self._embedded:
            path = os.path.relpath(source.resolve(), self._directory.resolve()).replace(os.sep, "/")
            return quote(os.fsencode(path)), size
        content = base64.b64encode(source.read_bytes()).decode("ascii")
        if self.films:
            made.unlink()
        return f"data:{_MIME[source.suffix.lower()]};base64,{content}", size


def _clip(found: Sequence[Explanation] | Localization) -> FrameSource:
    return found.opened() if isinstance(found, Localization) else clip_of(found)


def render_template(template: str, **values: Any) -> str:
    """Return a page from a template of this folder, in their common style; text among the values is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=_without_controls
    )
    return environment.from_string(_packaged(template)).render(style=_packaged("page.css"), **values)


def _without_controls(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # what a template calls safe is a Markup


def _packaged(name: str) -> str:
    return (files("vidcam.export") / name).read_text(encoding="utf-8")


def _view_of_explanation(explanation: Explanation) -> View:
    target = explanation.target
    curve = combined_curve(explanation.scores, explanation.evidence) if target.is_probability else np.zeros(0)
    segments = distinct(segments_of(curve, explanation.times, target.label)) if len(curve) > 1 else []
    return View(
        target,
        _how(explanation),
        explanation.scores,
        explanation.evidence,
        segments,
        explanation.maps,
        explanation.peak,
        explanation.highest,
        explanation.check.sentence() if explanation.check is not None and explanation.check.passed else "",
    )


def _how(explanation: Explanation) -> str:
    """Return the method and the layer; where the evidence was split, its kind and the motion share first."""
    by = f"{explanation.method} at {explanation.layer}"
    return (
        by if explanation.motion is None else f"{explanation.kind}, motion share {explanation.motion.written()}, {by}"
    )


def _views_of_localization(found: Localization) -> list[View]:
    segments = distinct(found.segments)
    return [
        View(
            ExplainedTarget(None, label, float(scores.max())),
            f"{found.method} at {found.layer}",
            scores,
            evidence,
            [s for s in segments if s.label == label],
            maps,
            float(maps.max(initial=0.0)),
            float(evidence.max(initial=0.0)),
        )
        for label, scores, evidence, maps in zip(found.labels, found.scores, found.evidence, found.maps)
    ]


def _packed(view: View, strongest: list[int], first: float) -> dict[str, Any]:
    return {
        "label": view.target.label,
        "scores": [round(float(v), 4) if view.target.is_probability else float(f"{v:.6g}") for v in view.scores],
        "evidence": [round(float(v) / (view.highest or 1.0), 4) for v in view.evidence],
        "bounded": view.target.is_probability,
        "unit": view.target.unit,
        "segments": [[round(s.start - first, 4), round(s.end - first, 4), round(s.score, 4)] for s in view.segments],
        "strongest": strongest,
        "end": f"{view.peak:.3g}" if view.peak else "no heat",
        "grid": list(view.maps.shape[1:]),
        "maps": _coded(np.rint(view.maps / (view.peak or 1.0) * 255).astype(np.uint8)),
    }


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


def _thumbnail(pixels: np.ndarray) -> str:
    return _jpeg(pixels, _THUMB)


def _jpeg(pixels: np.ndarray, side: int | None = None) -> str:
    """Return a picture as JPEG in Base64, its longer side at most `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side or max(image.size),) * 2)
    with BytesIO() as buffer:
        image.save(buffer, "JPEG", quality=80)
        return base64.b64encode(buffer.getvalue()).decode("ascii")
