"""TensorBoard: explained clips as animated pictures and their scores as scalars."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from PIL import Image

from vidcam.callbacks.clips import ExplainedClip

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def log_to_tensorboard(writer: SummaryWriter, clips: Iterable[ExplainedClip], step: int) -> None:
    """Log each clip as explanations/NAME, an animated picture, and its score as explanations/NAME/score. Needs `vidcam[tensorboard]`.

    Args:
        writer: of the run.
        clips: from `vidcam.callbacks.explain_clips`.
        step: of the training.

    Example:
        >>> writer = SummaryWriter("runs")  # doctest: +SKIP
        >>> log_to_tensorboard(writer, explain_clips(explainer, ["a.mp4"]), step=100)  # doctest: +SKIP
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    files = writer._get_file_writer()  # type: ignore[no-untyped-call]  # as add_video, which needs moviepy
    for clip in clips:
        tag = f"explanations/{clip.name}"
        width, height = Image.open(io.BytesIO(clip.film)).size
        film = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=clip.film)
        summary = Summary(value=[Summary.Value(tag=tag, image=film)])
        files.add_summary(summary, step)
        writer.add_scalar(f"{tag}/score", clip.score, step)
