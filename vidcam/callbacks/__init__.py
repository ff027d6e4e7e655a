"""Callbacks of a training run: explained validation clips in its log."""

from vidcam.callbacks.clips import ExplainedClip, explain_clips
from vidcam.callbacks.tensorboard import log_to_tensorboard
from vidcam.callbacks.wandb import log_to_wandb

__all__ = ["ExplainedClip", "explain_clips", "log_to_tensorboard", "log_to_wandb"]
