"""Flawed networks: their architecture and their training, in a few minutes each."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.models.weights import load_into, read_state
from vidcam.playground.canvas import FRAMES, SIDE
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.flaws import FLAWS, Flaw
from vidcam.playground.joint_causes import JOINT_CAUSES
from vidcam.playground.training.classifier import classification_loss, start_from_motion, with_batch_norm
from vidcam.playground.training.loop import Progress, fit
from vidcam.playground.training.recipes import store

LAYER = "relu3"
REACH = 8
"""Pixels from the middle of a cell of the target layer to the edge of its receptive field of 17 pixels."""
STEPS, _BATCH, _RATE = 240, 32, 4e-3
_TRAINED_ON = 240_000  # + seed: of the rendered clips
_KINDS = {**FLAWS, **JOINT_CAUSES}


class FlawedNetwork(nn.Sequential):
    """Three 3D convolutions, an average over the cells of a grid, and one linear layer.

    The target layer has all steps of the window and a quarter of its side.

    Args:
        classes: of the output.
        grid: steps, rows and columns that the head tells apart.
        frames_apart: True for convolutions over space alone.
    """

    def __init__(self, classes: int, grid: tuple[int, int, int], frames_apart: bool) -> None:
        super().__init__()
        steps, before = (1, 0) if frames_apart else (3, 1)
        self.conv1 = nn.Conv3d(3, 16, (steps, 5, 5), (1, 2, 2), (before, 2, 2))
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv3d(16, 24, (steps, 3, 3), (1, 2, 2), (before, 1, 1))
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv3d(24, 32, (steps, 3, 3), 1, (before, 1, 1))
        self.relu3 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool3d(grid)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(32 * grid[0] * grid[1] * grid[2], classes)


class FlawedWindows(Dataset[tuple[Tensor, int]]):
    """Training clips of a flaw, or of joint causes, each rendered once: frames (3, T, H, W) uint8 and the label."""

    def __init__(self, flaw: Flaw, seed: int, first: int, count: int) -> None:
        self.flaw, self.seed, self.first, self.count = flaw, seed, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return frames (3, T, H, W) uint8 and the index of the class."""
        clip = self.flaw.render(_TRAINED_ON + self.seed, self.first + index, training=True)
        return torch.from_numpy(clip.frames).permute(3, 0, 1, 2), clip.label


def flawed_model(
    flaw: str, seed: int, folder: Path, *, progress: Progress = lambda step, loss, accuracy: None
) -> Model:
    """Return a network with a known flaw, or of clips with joint causes; it is trained if the folder does not hold it, and then kept there.

    Args:
        flaw: a key of `vidcam.playground.flaws.FLAWS` or of `vidcam.playground.joint_causes.JOINT_CAUSES`.
        seed: of the network's first weights and of its training clips.
        folder: made if it does not exist. A training that was interrupted is resumed.
        progress: called with the step, the loss and the accuracy of every step of the training.

    Raises:
        ModelError: a file in the folder is damaged.
    """
    kind = _KINDS[flaw]
    path = folder / f"{flaw}-{seed}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        network = FlawedNetwork(kind.classes, kind.grid, kind.frames_apart)
        if not kind.frames_apart:
            start_from_motion(network.conv1)
        checkpoint = path.with_suffix(".training")
        fit(
            with_batch_norm(network).train(),
            lambda first, count: FlawedWindows(kind, seed, first, count),
            classification_loss,
            steps=STEPS,
            rate=_RATE,
            checkpoint=checkpoint,
            batch=_BATCH,
            progress=progress,
        )
        store(network, path)
        checkpoint.unlink()
    network = FlawedNetwork(kind.classes, kind.grid, kind.frames_apart)
    load_into(network, read_state(path), str(path))
    return own_model(
        network,
        preprocess=Preprocess((SIDE, SIDE), (SIDE, SIDE), PREPROCESS.mean, PREPROCESS.std),
        frames=FRAMES,
        layer=LAYER,
        labels=[f"class {index}" for index in range(kind.classes)],
        name=f"{flaw} {seed}",
        weights=str(path),
    )
