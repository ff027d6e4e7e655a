"""Training of the small captioner on captioned scenes of the playground."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vidcam.playground.captioner import Captioner
from vidcam.playground.captions import END, FRAMES, WORDS, captioned_scene
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.training.classifier import SIZE, TRAINING_SEED

_IGNORED = -100


class CaptionedWindows(Dataset[tuple[Tensor, Tensor]]):
    """Captioned scenes `first + i` of the training seed; clutter grows to 1 over the first `ramp` scenes."""

    def __init__(self, first: int, count: int, ramp: int) -> None:
        self.first, self.count, self.ramp = first, count, ramp

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return frames (3, T, 112, 112) uint8 and their sentence (longest + 1,): END, words, END, then -100."""
        cv2.setNumThreads(1)
        number = self.first + index
        described = captioned_scene(TRAINING_SEED, number, min(1.0, number / self.ramp) if self.ramp else 1.0)
        frames = np.stack([described.scene.render(t, SIZE) for t in range(FRAMES)])
        return torch.from_numpy(frames).permute(3, 0, 1, 2), sentence(described.words)


def sentence(words: tuple[str, ...], longest: int = 20) -> Tensor:
    """Return the indices of END, the words and END again, filled up to (longest + 1,) with -100."""
    found = torch.full((longest + 1,), _IGNORED)
    indices = [WORDS.index(word) for word in (END, *words, END)]
    found[: len(indices)] = torch.tensor(indices)
    return found


def captioner_from(trunk: nn.Module) -> Captioner:
    """Return an untrained captioner on a trained R(2+1)D trunk whose early layers and batch statistics stay fixed."""
    captioner = Captioner(WORDS, END)
    for name, module in captioner.encoder.named_children():
        module.load_state_dict(trunk.get_submodule(name).state_dict())
    for name in ("stem", "layer1"):
        captioner.encoder.get_submodule(name).requires_grad_(False)
    captioner.train()
    captioner.encoder.eval()
    return captioner


def caption_loss(network: nn.Module, given: Any) -> tuple[Tensor, float]:
    """Return the cross-entropy of the words, with label smoothing 0.02, and the share of words predicted correctly."""
    frames, words = given
    windows = PREPROCESS.normalized(frames).contiguous(memory_format=torch.channels_last_3d)
    before, after = words[:, :-1], words[:, 1:]
    log_probabilities = network(windows, before.clamp(min=0)).float()
    loss = nn.functional.cross_entropy(
        log_probabilities.flatten(0, 1), after.flatten(), ignore_index=_IGNORED, label_smoothing=0.02
    )
    counted = after != _IGNORED
    return loss, float((log_probabilities.argmax(-1) == after)[counted].float().mean())
