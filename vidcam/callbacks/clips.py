"""Explained validation clips: their films, while the network that they explain is being trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidcam.cam.targets import Target
from vidcam.errors import SettingsError
from vidcam.explainer import Explainer
from vidcam.results.explanation import Explanation


@dataclass(frozen=True)
class ExplainedClip:
    """One clip with its explanation, as a log takes it.

    Attributes:
        name: file name of the clip without its suffix.
        explanation: of the clip.
        film: the overlay film as an animated GIF, with its strip.
    """

    name: str
    explanation: Explanation
    film: bytes

    @property
    def score(self) -> float:
        """Probability of the explained class, or its value if the network gives no probabilities."""
        target = self.explanation.target
        found = target.probability if target.probability is not None else target.value
        return float("nan") if found is None else float(found)


def explain_clips(explainer: Explainer, clips: Sequence[str | Path], target: Target = "top") -> Iterator[ExplainedClip]:
    """Explain clips by a network in training, and yield each with its film.

    The network is in evaluation mode meanwhile, and back in its own modes between two clips and at the end. No parameter, no
    gradient and no running statistic of it changes.

    Args:
        explainer: of the network, such as `Explainer(own_model(network, ...))`; its recipe's film width and rate are the film's.
        clips: video files of different names.
        target: of all clips, as for `vidcam.explain`.

    Raises:
        SettingsError: two clips have the same name, which would mix them up in a log, or the recipe or the target gives several
            explanations of a clip, or a clip is a picture.
        VidcamError: a clip or the target cannot be used.

    Example:
        >>> from vidcam.playground.demo import demo_clips
        >>> explainer = Explainer("playground-c3d")
        >>> [(clip.name, clip.film[:4]) for clip in explain_clips(explainer, demo_clips()[:1])]
        [('bowing', b'GIF8')]
    """
    explainer.refuse_several(target)
    names = [Path(clip).stem for clip in clips]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(
            f"several clips are named {twice!r}, and a log knows clips by their names; rename one of them"
        )
    for name, clip in zip(names, clips):
        with tempfile.TemporaryDirectory() as folder:
            found = explainer.explain(clip, target)[0]
            found = replace(found, drawing=replace(found.drawing, format="gif", highlights=False))
            found.save(folder)
            film = Path(folder) / "overlay.gif"
            if not film.exists():
                raise SettingsError(f"{clip} is a picture, and a log shows films; give video clips")
            shown = film.read_bytes()
        yield ExplainedClip(name, found, shown)
