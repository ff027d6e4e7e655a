"""Recipes of the bundled networks: their training, and their accuracy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from vidcam.engine.loader import network_input
from vidcam.errors import ModelError
from vidcam.models.registry import Model, load_model
from vidcam.playground.actions import LABELS
from vidcam.playground.networks import SmallR2Plus1D, small_c3d
from vidcam.playground.recurrent import RecurrentFrames
from vidcam.playground.scene import trimmed_scene
from vidcam.playground.shift import ShiftedFrames
from vidcam.playground.training.captioner import CaptionedWindows, caption_loss, captioner_from
from vidcam.playground.training.classifier import (
    TrainingWindows,
    classification_loss,
    start_from_motion,
    start_from_teacher,
    with_batch_norm,
    without_batch_norm,
)
from vidcam.playground.training.distill import hinted_loss, soft_label_loss
from vidcam.playground.training.loop import Progress, fit
from vidcam.playground.tubelet import TubeletTransformer

CAPTIONER = "playground-captioner"
# network → steps, windows in each, highest learning rate, and windows over which clutter grows (0: there is all from the first)
RECIPES = {
    "playground-r2plus1d": (1600, 24, 3e-3, 11520),
    "playground-c3d": (1600, 24, 2e-3, 11520),
    "playground-tubelet": (500, 16, 1e-3, 5040),
    "playground-gru": (1200, 8, 2e-3, 3000),
    "playground-tsm": (400, 16, 3e-3, 0),
    CAPTIONER: (600, 12, 1.5e-3, 2160),
}
_TEACHER = "playground-r2plus1d"
_LOSSES: dict[str, Callable[..., tuple[Tensor, float]]] = {  # of the networks that learn from the teacher
    "playground-tubelet": soft_label_loss,
    "playground-gru": partial(hinted_loss, both_halves=True),
    "playground-tsm": hinted_loss,
}


def train(name: str, out: Path, *, progress: Progress = lambda step, loss, accuracy: None) -> Path:
    """Train a bundled network, store its weights as half-precision safetensors and return their path.

    R(2+1)D and C3D begin with random weights and learn from labels. The captioner and the transformer begin with the trunk
    of the bundled R(2+1)D, and the networks of frames with the weights of its layers that fit. The transformer learns from
    its scores, too, the networks of frames from its scores and features. The state of the training is kept beside `out` in
    a `.training` file; if interrupted, call it again to resume.

    Args:
        name: of the network.
        out: the .safetensors file.
        progress: called with the step, the loss and the accuracy of every step.

    Raises:
        ModelError: there is no recipe of that name, or the state of the training cannot be read.
    """
    if name not in RECIPES:
        raise ModelError(f"there is no recipe for {name!r}; choose one of {', '.join(RECIPES)}")
    steps, batch, rate, ramp = RECIPES[name]
    checkpoint = out.with_suffix(".training")
    torch.manual_seed(0)
    examples: Callable[[int, int], Dataset[Any]] = partial(TrainingWindows, ramp=ramp)
    network: nn.Module
    if name == CAPTIONER:
        network = captioner_from(load_model(_TEACHER).network)
        examples, loss_of = partial(CaptionedWindows, ramp=ramp), caption_loss
    elif name in _LOSSES:
        teacher = load_model(_TEACHER).network
        network = _student(name, teacher)
        loss_of = partial(_LOSSES[name], teacher)
    else:
        network, loss_of = _untrained(name).train(), classification_loss
    fit(network, examples, loss_of, steps=steps, rate=rate, checkpoint=checkpoint, batch=batch, progress=progress)
    store(network, out)
    return out


def _untrained(name: str) -> nn.Module:
    if name == "playground-r2plus1d":
        residual = SmallR2Plus1D(len(LABELS))
        start_from_motion(residual.temporal_stem)
        return residual
    plain = small_c3d(len(LABELS))
    start_from_motion(plain.conv1)
    return with_batch_norm(plain)


def _student(name: str, teacher: nn.Module) -> nn.Module:
    """Return a network in training mode that has learned nothing but what it takes over from the teacher.

    That is the trunk of the transformer, which stays fixed, or the weights that fit of a network of frames.
    """
    if name != "playground-tubelet":
        frames = (RecurrentFrames if name == "playground-gru" else ShiftedFrames)(len(LABELS)).train()
        start_from_teacher(frames.cnn, teacher)
        frames.fc.load_state_dict(teacher.get_submodule("fc").state_dict())
        return frames
    transformer = TubeletTransformer(len(LABELS)).train()
    for part, module in transformer.trunk.named_children():
        module.load_state_dict(teacher.get_submodule(part).state_dict())
    transformer.trunk.requires_grad_(False).eval()
    return transformer


def store(network: nn.Module, path: Path) -> None:
    """Write a trained network's parameters in half precision; batch norms added for training are folded in."""
    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in without_batch_norm(network).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    part = path.with_name(path.name + ".part")
    save_file(state, part)
    part.replace(path)


def accuracy(model: Model, seed: int, count: int) -> float:
    """Return the share of rendered windows, one second of 224x224 pixels, that a network classifies rightly.

    Args:
        model: the network.
        seed: of the windows.
        count: number of windows.
    """
    right = 0
    for index in range(count):
        scene = trimmed_scene(seed, index)
        every = range(0, scene.frames, scene.frames // model.spec.frames)
        frames = [model.spec.preprocess.frame(scene.render(t, 224)) for t in every]
        with torch.inference_mode():
            scores = model.network(network_input(model, [frames])).cpu()
        right += model.labels[int(np.argmax(scores.numpy()))] == scene.label
    return right / count
