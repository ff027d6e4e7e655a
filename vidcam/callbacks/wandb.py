"""Weights & Biases: explained clips as videos and their scores as numbers."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vidcam.callbacks.clips import ExplainedClip

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run


def log_to_wandb(run: Run, clips: Iterable[ExplainedClip], step: int | None = None) -> None:
    """Log each clip as explanations/NAME, a video, and its score as explanations/NAME/score. Needs `vidcam[wandb]`.

    Args:
        run: what `wandb.init` returned; with mode="offline" nothing is sent.
        clips: from `vidcam.callbacks.explain_clips`.
        step: of the training; None for the run's own.

    Example:
        >>> run = wandb.init(mode="offline")  # doctest: +SKIP
        >>> log_to_wandb(run, explain_clips(explainer, ["a.mp4"]))  # doctest: +SKIP
    """
    from wandb import Video

    found: dict[str, object] = {}
    for clip in clips:
        target = clip.explanation.target
        found[f"explanations/{clip.name}"] = Video(io.BytesIO(clip.film), caption=target.written(), format="gif")
        found[f"explanations/{clip.name}/score"] = clip.score
    run.log(found, step=step)
