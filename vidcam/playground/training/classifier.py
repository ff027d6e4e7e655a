"""Training of a small network on the actions of the playground.

Every window is rendered for one step and never used again, so the network cannot overfit.
It learns from the label of a window alone, without mask, box or time of the action.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils.data import Dataset

from vidcam.playground.actions import LABELS
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.frame_cnn import FrameCNN
from vidcam.playground.scene import RAMP, sample_scene

TRAINING_SEED = 0
FRAMES, SIZE = 16, 112


class TrainingWindows(Dataset[tuple[Tensor, int]]):
    """Window `i` of the training set: rendered from (TRAINING_SEED, i), degraded as by a codec.

    Clutter grows to 1 over the first `ramp` windows: on the full playground an untrained network learns nothing for
    hundreds of steps.
    """

    def __init__(self, first: int, count: int, ramp: int = 0) -> None:
        self.first, self.count, self.ramp = first, count, ramp

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return frames (3, 16, 112, 112) uint8 and the index of the label."""
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
    """Return the action's first frame and the frame after its last.

    Two windows of three are filled by the action; in the others it takes 60 % of the frames or more.
    """
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


def classification_loss(network: nn.Module, given: Any) -> tuple[Tensor, float]:
    """Return the cross-entropy, with label smoothing 0.05, and the accuracy of a batch.

    Args:
        network: returns scores before softmax, (N, classes).
        given: frames (N, 3, T, H, W) uint8 and labels (N,).
    """
    frames, target = given
    scores = network(PREPROCESS.normalized(frames).contiguous(memory_format=torch.channels_last_3d)).float()
    loss = nn.functional.cross_entropy(scores, target, label_smoothing=0.05)
    return loss, float((scores.argmax(1) == target).float().mean())


def with_batch_norm(network: nn.Module) -> nn.Module:
    """Give every layer of a plain network but the last a batch norm for training, in place, and return the network."""
    *hidden, _ = [(n, m) for n, m in network.named_children() if isinstance(m, nn.Conv3d | nn.Linear)]
    for name, layer in hidden:
        norm = (
            nn.BatchNorm3d(layer.out_channels) if isinstance(layer, nn.Conv3d) else nn.BatchNorm1d(layer.out_features)
        )
        setattr(network, name, _Normalized(layer, norm))
    return network


class _Normalized(nn.Sequential):
    """A layer and its batch norm; two frames are computed in float32, whatever autocast sets.

    The bfloat16 kernel of a 3x3x3 convolution leaves memory it never wrote in the gradient of its weight when the
    input has two frames (torch 2.13, channels last, a processor with avx512_bf16; three and more are right).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's normalised output for (N, C, ...), in float32 or autocast's dtype."""
        full = x.ndim == 5 and x.shape[2] == 2
        with torch.autocast("cpu", enabled=not full and torch.is_autocast_enabled("cpu")):
            out: Tensor = super().forward(x.float() if full else x)  # type: ignore[no-untyped-call]
        return out


def without_batch_norm(network: nn.Module) -> nn.Module:
    """Fold the trained norms of `with_batch_norm` into the layers and return the network.

    In evaluation mode it is the same function.
    """
    network.eval()
    for name, module in list(network.named_children()):
        match list(module) if isinstance(module, nn.Sequential) else []:
            case [nn.Conv3d() as convolution, nn.BatchNorm3d() as norm]:
                setattr(network, name, fuse_conv_bn_eval(convolution, norm))
            case [nn.Linear() as linear, nn.BatchNorm1d() as norm]:
                setattr(network, name, fuse_linear_bn_eval(linear, norm))
    return network


def start_from_motion(convolution: nn.Conv3d) -> None:
    """Initialise half of a convolution's filters as differences in time: the frame after minus the frame before.

    With random filters, a network on the playground stays at chance for hundreds of steps: backgrounds and clothes do
    not depend on the action, and it has to find out first that motion does.
    """
    half = convolution.out_channels // 2
    with torch.no_grad():
        middle = convolution.weight[:half, :, 1:2].clone()
        convolution.weight[:half] = 1.2 * torch.cat([-middle, torch.zeros_like(middle), middle], dim=2)


def start_from_teacher(student: FrameCNN, teacher: nn.Module) -> None:
    """Copy the weights of an R(2+1)D into a CNN of frames.

    A convolution over time has weights for three frames, the 1x1 convolution in its place for one: of each channel it takes
    those for the frame that a `TemporalShift` gives it, which are an eighth of the channels of the next frame and an eighth
    of the one before; without a shift, those for the same frame.

    Args:
        student: its modules are named as those of the teacher.
        teacher: a `SmallR2Plus1D`.
    """
    for name, module in student.named_modules():
        source = name.removesuffix(".net")
        if isinstance(module, nn.BatchNorm2d):
            module.load_state_dict(teacher.get_submodule(source).state_dict())
        elif isinstance(module, nn.Conv2d):
            weight = teacher.get_parameter(f"{source}.weight").detach()
            taken = weight[:, :, weight.shape[2] // 2].clone()
            if source != name:
                fold = weight.shape[1] // 8
                taken[:, :fold] = weight[:, :fold, 2]
                taken[:, fold : 2 * fold] = weight[:, fold : 2 * fold, 0]
            module.weight.data.copy_(taken)
