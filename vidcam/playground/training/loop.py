"""The training loop of all small networks: AdamW in bfloat16, one cycle of the learning rate, with checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vidcam.engine.memory import keep_freed_memory
from vidcam.errors import ModelError
from vidcam.models.pickled import load_pickled
from vidcam.untrusted.text import one_line

Progress = Callable[[int, float, float], None]
"""A function that is called after each step with its number, its loss and its accuracy."""

_SAVE_EVERY = 50  # steps
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by axes of the weight


def fit(
    network: nn.Module,
    examples: Callable[[int, int], Dataset[Any]],
    loss_of: Callable[[nn.Module, Any], tuple[Tensor, float]],
    *,
    steps: int,
    rate: float,
    checkpoint: Path,
    batch: int,
    progress: Progress = lambda step, loss, accuracy: None,
) -> nn.Module:
    """Train a network for one cycle of the learning rate; if `checkpoint` exists, resume from it.

    Args:
        network: in the mode it is trained in.
        examples: returns the data set of `count` examples from number `first` on, given (first, count); each is used
            once.
        loss_of: returns the loss and the accuracy of a network on a batch of them; called in bfloat16 autocast.
        steps: optimiser steps in all, those before a resumption included.
        rate: the highest learning rate.
        checkpoint: file for the state of the training, replaced as a whole every 50 steps.
        batch: examples per step.
        progress: called with the step, the loss and the accuracy of every step.

    Returns:
        The same network, in evaluation mode.

    Raises:
        ModelError: the checkpoint is damaged or of another training.
        RuntimeError: a gradient is not finite; the last checkpoint is kept for inspection.
    """
    keep_freed_memory()
    for parameter in network.parameters():
        if parameter.ndim in _CHANNELS_LAST:
            parameter.data = parameter.data.contiguous(memory_format=_CHANNELS_LAST[parameter.ndim])
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    done = 0
    if checkpoint.exists():
        try:
            state: Any = load_pickled(checkpoint)
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            done = int(state["step"])
        except Exception as error:  # torch raises anything on a damaged file
            reason = one_line(str(error))
            raise ModelError(
                f"{checkpoint} is no checkpoint of this training ({reason}); remove it to train from the beginning"
            ) from error
    coming = examples(done * batch, (steps - done) * batch)
    loader = DataLoader(coming, batch, num_workers=min(2, os.cpu_count() or 1), prefetch_factor=4)
    for step, given in enumerate(loader, start=done + 1):
        with torch.autocast("cpu", torch.bfloat16):
            loss, accuracy = loss_of(network, given)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 5.0, error_if_nonfinite=True)
        optimizer.step()
        schedule.step()
        progress(step, loss.item(), accuracy)
        if step % _SAVE_EVERY == 0 or step == steps:
            _save(
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step,
                },
                checkpoint,
            )
    return network.eval()


def _save(state: dict[str, object], path: Path) -> None:
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.replace(path)
