"""Fitting a small network to the actions of the playground.

Every window is rendered for the step that sees it and never again, so there is nothing to overfit to.
The network learns from the label of a window alone: no mask, box or time of the action reaches it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils.data import DataLoader, Dataset

from vidcam.allocator import keep_freed_memory
from vidcam.models.playground import PREPROCESS
from vidcam.playground.actions import LABELS
from vidcam.playground.scene import RAMP, sample_scene

TRAINING_SEED = 0
FRAMES, SIZE = 16, 112

Progress = Callable[[int, float, float], None]


class TrainingWindows(Dataset[tuple[Tensor, int]]):
    """Window `i` of the training set: rendered from (TRAINING_SEED, i), degraded as a codec would.

    Clutter grows to its full measure over the first `ramp` windows of the set: before the full playground a
    network learns nothing for a long time.
    """

    def __init__(self, first: int, count: int, ramp: int = 0) -> None:
        self.first, self.count, self.ramp = first, count, ramp

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Frames (3, 16, 112, 112) uint8 and the index of the label."""
        cv2.setNumThreads(1)
        rng = np.random.default_rng((TRAINING_SEED, self.first + index, 2))
        target = int(rng.integers(len(LABELS)))
        clutter = min(1.0, (self.first + index) / self.ramp) if self.ramp else 1.0
        scene = sample_scene(rng, FRAMES, [(LABELS[target], *_interval(rng))], clutter=clutter)
        quality = int(rng.integers(25, 100)) if rng.random() < 0.5 else None
        blur = rng.uniform(0.3, 1.0) if rng.random() < 0.3 else 0.0
        frames = [_degraded(scene.render(t, SIZE), quality, blur) for t in range(FRAMES)]
        return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2), target


def _interval(rng: np.random.Generator) -> tuple[int, int]:
    """When the action happens: in two windows of three throughout, else in 60 % of the frames or more."""
    start, end = -RAMP, FRAMES + RAMP
    if rng.random() < 1 / 3:
        cut = int(rng.integers(0, int(FRAMES * 0.4) + 1))
        if rng.random() < 0.5:
            start = cut
        else:
            end = FRAMES - cut
    return start, end


def _degraded(frame: np.ndarray, quality: int | None, blur: float) -> np.ndarray:
    if blur:
        frame = cv2.GaussianBlur(frame, (0, 0), blur)
    if quality is not None:
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return frame


def fit(
    network: nn.Module,
    *,
    steps: int,
    rate: float,
    checkpoint: Path,
    ramp: float = 0.0,
    batch: int = 24,
    progress: Progress = lambda step, loss, accuracy: None,
) -> nn.Module:
    """Train a network on rendered windows for one cycle; goes on from `checkpoint` where that file exists.

    AdamW with one cycle of the learning rate, labels smoothed by 0.05, arithmetic in bfloat16.

    Args:
        network: maps (N, 3, 16, 112, 112) to (N, len(LABELS)).
        steps: optimiser steps in all, those before a resumption included.
        rate: the highest learning rate.
        checkpoint: file for the state of the training, replaced as a whole every 50 steps.
        ramp: share of the steps over which clutter grows to its full measure.
        batch: windows per step.
        progress: called after each step with its number, loss and accuracy.

    Returns:
        The same network, in evaluation mode.

    Raises:
        RuntimeError: a gradient is not finite; the last checkpoint is there to look at.
    """
    keep_freed_memory()
    network = network.to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = state["step"]
    windows = TrainingWindows(done * batch, (steps - done) * batch, int(ramp * steps * batch))
    loader = DataLoader(windows, batch, num_workers=min(2, os.cpu_count() or 1), prefetch_factor=4)
    for step, (frames, target) in enumerate(loader, start=done + 1):
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(PREPROCESS.normalized(frames).contiguous(memory_format=torch.channels_last_3d))
        loss = nn.functional.cross_entropy(scores.float(), target, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0, error_if_nonfinite=True)
        optimizer.step()
        schedule.step()
        progress(step, loss.item(), (scores.argmax(1) == target).float().mean().item())
        if step % 50 == 0 or step == steps:
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


def with_batch_norm(network: nn.Module) -> nn.Module:
    """Give every layer of a plain network but the last a batch norm, for training a network that has none."""
    *hidden, _ = [(n, m) for n, m in network.named_children() if isinstance(m, nn.Conv3d | nn.Linear)]
    for name, layer in hidden:
        norm = (
            nn.BatchNorm3d(layer.out_channels) if isinstance(layer, nn.Conv3d) else nn.BatchNorm1d(layer.out_features)
        )
        setattr(network, name, _Normalized(layer, norm))
    return network


class _Normalized(nn.Sequential):
    """A layer and its batch norm. Over two frames it computes in float32 whatever autocast says.

    The bfloat16 kernel of a 3x3x3 convolution leaves memory it never wrote in the gradient of its weight when the
    input has two frames (torch 2.13, channels last, a processor with avx512_bf16; three and more are right).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) in, the layer's output normalised, in float32 or what autocast computes in."""
        full = x.ndim == 5 and x.shape[2] == 2
        with torch.autocast("cpu", enabled=not full and torch.is_autocast_enabled("cpu")):
            out: Tensor = super().forward(x.float() if full else x)  # type: ignore[no-untyped-call]
        return out


def without_batch_norm(network: nn.Module) -> nn.Module:
    """Undo `with_batch_norm`, the trained norms folded into the layers: the same function, in evaluation mode."""
    network.eval()
    for name, module in list(network.named_children()):
        match list(module) if isinstance(module, nn.Sequential) else []:
            case [nn.Conv3d() as convolution, nn.BatchNorm3d() as norm]:
                setattr(network, name, fuse_conv_bn_eval(convolution, norm))
            case [nn.Linear() as linear, nn.BatchNorm1d() as norm]:
                setattr(network, name, fuse_linear_bn_eval(linear, norm))
    return network


def start_from_motion(convolution: nn.Conv3d) -> None:
    """Make half of a convolution's filters differences in time: the frame after minus the frame before.

    With filters that start at random, a network on the playground stays at chance for hundreds of steps:
    backgrounds and clothes tell it nothing, and it has to find out first that motion does.
    """
    half = convolution.out_channels // 2
    with torch.no_grad():
        middle = convolution.weight[:half, :, 1:2].clone()
        convolution.weight[:half] = 1.2 * torch.cat([-middle, torch.zeros_like(middle), middle], dim=2)
