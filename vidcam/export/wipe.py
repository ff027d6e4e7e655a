"""The page of a comparison: two explanations over the same frame, on both sides of a divider that is moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidcam.export.embedded import EMBEDDED, EmbeddedClip, coded_colours, coded_maps
from vidcam.export.panes import Pane
from vidcam.export.template import render_template
from vidcam.results.drawing import COLORMAPS
from vidcam.results.explanation import means_nothing
from vidcam.temporal.segments import frame_edges
from vidcam.video.source import FrameSource


class WipePage:
    """The page of a comparison in two steps: the clip is played for it, then the page is made.

    Args:
        panes: of one clip, two or more; the page opens with the first two.
        clip: its frames.
        film: path of the film that is made if a browser does not play the clip, in the folder that is written into.
        directory: the final directory of the page.
        embedded: largest size of a film inside the page, in bytes; a larger one is linked.

    Attributes:
        films, looks: arguments of `playback.play` that collect the page's film or picture.
    """

    def __init__(
        self, panes: Sequence[Pane], clip: FrameSource, film: Path, directory: Path, embedded: int = EMBEDDED
    ) -> None:
        self._panes, self._clip = panes, clip
        self._shown = EmbeddedClip(clip, float(panes[0].explanation.times[0]), film, directory, embedded)
        self.films, self.looks = self._shown.films, self._shown.looks

    def html(self) -> str:
        """Return the page as HTML, after the clip was played for it."""
        clip, first = self._clip, self._panes[0].explanation
        film, _ = self._shown.source()
        edges = frame_edges(first.times) - first.times[0]
        data = {
            "edges": [round(float(t), 5) for t in edges],
            "size": [clip.width, clip.height],
            "aspect": round(clip.width * float(clip.sample_aspect_ratio) / clip.height, 5),
            "panes": [_packed(pane) for pane in self._panes],
            "colours": coded_colours(),
        }
        return render_template(
            "compare.html.j2",
            scripts=("heat.js", "compare.js"),
            data=data,
            name=Path(first.clip).name,
            film=film,
            image=clip.is_image,
            frames=first.frames,
            panes=self._panes,
            warnings=list(dict.fromkeys(warning for pane in self._panes for warning in pane.explanation.warnings)),
            means_nothing=means_nothing,
            colormaps=COLORMAPS,
            colormap=first.drawing.colormap,
        )


def _packed(pane: Pane) -> dict[str, Any]:
    found, target = pane.explanation, pane.explanation.target
    return {
        "title": pane.title,
        "how": f"{target.named()} · {found.method} at {found.layer} of {found.model}",
        "scores": [round(float(v), 4) if target.is_probability else float(f"{v:.6g}") for v in found.scores],
        "evidence": [round(float(v) / (pane.highest or 1.0), 4) for v in found.evidence],
        "highest": float(f"{pane.highest:.6g}"),
        "bounded": target.is_probability,
        "unit": target.unit,
        "unit_of_heat": f"{found.model} {found.method} {found.layer}",
        "end": f"{pane.peak:.3g}" if pane.peak else "no heat",
        "grid": list(found.maps.shape[1:]),
        "region": list(found.region),
        "maps": coded_maps(found.maps, pane.peak),
    }
