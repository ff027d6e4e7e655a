"""The page of a clip: one self-contained HTML file with the film and its heatmaps, curves, segments and predictions."""

from __future__ import annotations

import html
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.errors import counted
from vidcam.export.embedded import EMBEDDED, EmbeddedClip, coded_colours, coded_maps, jpeg
from vidcam.export.outputs import all_or_nothing
from vidcam.export.playback import Film, Look, Stills, clip_of, play
from vidcam.export.template import render_template
from vidcam.results.drawing import COLORMAPS
from vidcam.results.explanation import ExplainedTarget, Explanation, means_nothing
from vidcam.results.localization import Localization
from vidcam.temporal.curves import combined_curve
from vidcam.temporal.segments import Segment, distinct, frame_edges, segments_of
from vidcam.video.source import FrameSource

_STRIP = 6  # frames in the filmstrip of a view
_THUMB = 240  # pixels, the longer side of its pictures
_NOTES, _NOTE = 5000, 80  # characters of the notes on a printed page, and those that each takes besides its own


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
        headline: the number of the clip, with its name.
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
    headline: str
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
    found: Explanation | Sequence[Explanation] | Localization, directory: str | Path, *, embedded: int = EMBEDDED
) -> Path:
    """Write `report.html`, the page of a clip's explanations or of its localization, and return its path.

    A film that a browser plays is embedded as it is, another one as H.264. A film of more than `embedded` bytes is
    linked: the clip's own file, or `report.mp4` beside the page. The clip is decoded once.

    Args:
        found: an explanation, several of one clip, or a localization.
        directory: made if it does not exist; a page that exists is replaced.
        embedded: largest size of an embedded film, in bytes.

    Raises:
        SettingsError: there is no explanation, or they are of different clips.
        ClipError: the clip has changed, is gone, or can be read once only.
        OutputError: the directory cannot be written.

    Example:
        >>> import vidcam
        >>> explanation = vidcam.explain(np.zeros((16, 112, 112, 3), np.uint8), frame_rate=16)
        >>> write_report(explanation, getfixture("tmp_path")).name
        'report.html'
    """
    directory = Path(directory)
    found = [found] if isinstance(found, Explanation) else found
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
            self._facts |= found[0].computation | found[0].versions
        self._facts |= self._first.windowing
        if self._first.preprocess:
            self._facts["preprocessing"] = _preprocessing(self._first.preprocess)
        self._warnings.sort(key=lambda warning: not means_nothing(warning))
        self._facts["frame_rate"] = f"{self._first.frame_rate:.4g}, {self._first.frame_rate_from}"
        self._clip, self._written = clip, PageOutputs.within(work)
        self._shown = EmbeddedClip(clip, float(self._first.times[0]), self._written.film, directory, embedded)
        self._chosen = [view.strongest(self._first.times) for view in self._views]
        self._thumbs = Stills((frame for frames in self._chosen for frame in frames), _thumbnail)
        self.looks: list[Look] = [self._thumbs, *self._shown.looks]
        self.films: list[Film] = self._shown.films

    def play(self) -> None:
        """Play the clip for the page alone."""
        play(self._first, self._clip, self.films, self.looks)

    def write(self) -> None:
        """Write the page into its folder, after the clip was played for it."""
        self._written.page.write_text(self.html(), encoding="utf-8")

    def html(self) -> str:
        """Return the page as HTML, after the clip was played for it."""
        clip, times, views = self._clip, self._first.times, self._views
        film, size = self._shown.source()
        edges = frame_edges(times) - times[0]
        data = {
            "edges": [round(float(t), 5) for t in edges],
            "size": [clip.width, clip.height],
            "aspect": round(clip.width * float(clip.sample_aspect_ratio) / clip.height, 5),
            "views": [
                _packed(view, frames, float(times[0]), self._first.region) for view, frames in zip(views, self._chosen)
            ],
            "thumbs": self._thumbs.found,
            "colours": coded_colours(),
        }
        return render_template(
            "page.html.j2",
            styles=("page.css", "print.css"),
            scripts=("heat.js", "page.js"),
            data=data,
            name=Path(self._first.clip).name,
            film=film,
            film_size=size,
            image=clip.is_image,
            seconds=float(edges[-1]),
            frames=counted(len(times), "frame"),
            facts={k: f"{v:.5g}" if isinstance(v, float) else v for k, v in self._facts.items() if v is not None},
            top=self._top,
            warnings=self._warnings,
            printed=_printed(self._warnings),
            means_nothing=means_nothing,
            split=isinstance(self._first, Explanation) and self._first.motion is not None,
            views=views,
            colormaps=COLORMAPS,
            colormap=self._first.drawing.colormap if isinstance(self._first, Explanation) else COLORMAPS[0],
        )


def _clip(found: Sequence[Explanation] | Localization) -> FrameSource:
    return found.opened() if isinstance(found, Localization) else clip_of(found)


def _view_of_explanation(explanation: Explanation) -> View:
    target = explanation.target
    curve = combined_curve(explanation.scores, explanation.evidence) if target.is_probability else np.zeros(0)
    segments = distinct(segments_of(curve, explanation.times, target.label)) if len(curve) > 1 else []
    return View(
        target,
        target.named(),
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


def _preprocessing(fields: dict[str, Any]) -> str:
    """Return the fields of a `vidcam.Preprocess` in words; sizes as width x height."""
    resize, (height, width) = fields["resize"], fields["crop"]
    size = f"shorter side to {resize}" if isinstance(resize, int) else f"to {resize[1]}x{resize[0]}"
    mean, deviation = (", ".join(f"{value:.4g}" for value in fields[name]) for name in ("mean", "std"))
    channels = "BGR" if fields["bgr"] else "RGB"
    return (
        f"{size} pixels, central {width}x{height}, {channels} times {fields['scale']:.4g}, mean {mean}, "
        f"deviation {deviation}"
    )


def _views_of_localization(found: Localization) -> list[View]:
    segments = distinct(found.segments)
    return [
        View(
            ExplainedTarget(None, label, float(scores.max())),
            f"highest score {scores.max():.3f}",
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


def _printed(notes: Sequence[str]) -> int:
    """Return how many notes, the first ones, leave room for everything else on a printed page."""
    taken = np.cumsum([_NOTE + len(note) for note in notes])
    return int((taken <= _NOTES).sum())


def _packed(view: View, strongest: list[int], first: float, region: Sequence[float]) -> dict[str, Any]:
    return {
        "label": view.target.label,
        "scores": [round(float(v), 4) if view.target.is_probability else float(f"{v:.6g}") for v in view.scores],
        "evidence": [round(float(v) / (view.highest or 1.0), 4) for v in view.evidence],
        "highest": float(f"{view.highest:.6g}"),
        "bounded": view.target.is_probability,
        "unit": view.target.unit,
        "segments": [[round(s.start - first, 4), round(s.end - first, 4), round(s.score, 4)] for s in view.segments],
        "strongest": strongest,
        "end": f"{view.peak:.3g}" if view.peak else "no heat",
        "grid": list(view.maps.shape[1:]),
        "region": list(region),
        "maps": coded_maps(view.maps, view.peak),
    }


def _thumbnail(pixels: np.ndarray) -> str:
    return jpeg(pixels, _THUMB)
