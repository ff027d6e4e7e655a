"""Lightning: a callback that logs explained clips after each validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vidcam.callbacks.clips import explain_clips
from vidcam.callbacks.tensorboard import log_to_tensorboard
from vidcam.callbacks.wandb import log_to_wandb
from vidcam.cam.targets import Target
from vidcam.errors import SettingsError
from vidcam.explainer import Explainer
from vidcam.models.torchvision_import import import_torchvision

import_torchvision()  # Lightning imports it

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger  # noqa: E402


class ExplainValidation(Callback):
    """Callback that logs explained clips to the trainer's TensorBoard and Weights & Biases loggers. Needs `vidcam[lightning]`.

    Args:
        explainer: makes the explainer of a module, such as
            `lambda module: Explainer(own_model(module.network, frames=16, labels=NAMES))`. It is called once for a module, when
            its first validation ends.
        clips: video files of different names.
        target: of all clips, as for `vidcam.explain`.
        every: number of validations between two logs.

    Raises:
        SettingsError: `every` is less than 1, or, when training starts, the trainer has no logger of these two.

    Example:
        >>> explain = ExplainValidation(lambda module: Explainer(own_model(module.network)), ["a.mp4"])  # doctest: +SKIP
        >>> Trainer(logger=TensorBoardLogger("runs"), callbacks=[explain]).fit(module)  # doctest: +SKIP
    """

    def __init__(
        self,
        explainer: Callable[[LightningModule], Explainer],
        clips: Sequence[str | Path],
        target: Target = "top",
        every: int = 1,
    ) -> None:
        if every < 1:
            raise SettingsError(f"every is {every}; give the number of validations between two logs, at least 1")
        self._make, self.clips, self.target, self.every = explainer, clips, target, every
        self._made: tuple[LightningModule, Explainer] | None = None
        self._validations = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a trainer without a logger that shows films, and count validations from here on.

        Raises:
            SettingsError: the trainer has no TensorBoardLogger or WandbLogger.
        """
        if not any(isinstance(logger, (TensorBoardLogger, WandbLogger)) for logger in trainer.loggers):
            raise SettingsError("the trainer has no TensorBoardLogger or WandbLogger; give it one of them as logger")
        self._validations = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Explain the clips and log them, on the first process only."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        self._validations += 1
        if (self._validations - 1) % self.every:
            return
        if self._made is None or self._made[0] is not pl_module:
            self._made = pl_module, self._make(pl_module)
        explained = list(explain_clips(self._made[1], self.clips, self.target))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                log_to_tensorboard(logger.experiment, explained, trainer.global_step)
            elif isinstance(logger, WandbLogger):
                log_to_wandb(logger.experiment, explained)
