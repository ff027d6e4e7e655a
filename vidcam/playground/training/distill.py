"""Knowledge distillation that also matches the maps of teacher and student: Chattopadhyay et al. 2018, section 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.methods import gradcam_plus_plus
from vidcam.cam.targets import class_scores
from vidcam.errors import LayerError, SettingsError
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.recurrent import RecurrentFrames
from vidcam.playground.shift import ShiftedFrames


@dataclass(frozen=True)
class NetworkOutput:
    """The outputs of a network for windows, both with their graph.

    Attributes:
        scores: (N, classes) before softmax.
        activation: (N, C, T, H, W) of a layer that the scores were computed from.
    """

    scores: Tensor
    activation: Tensor


def network_output(network: nn.Module, layer: str, windows: Any) -> NetworkOutput:
    """Run a network and return its scores and the output of one of its layers.

    Args:
        network: returns scores before softmax, (N, classes).
        layer: name of the layer in `network.named_modules()`.
        windows: the network's input.

    Raises:
        LayerError: there is no such layer, it was not called, or its output is not (N, C, T, H, W).
    """
    modules = dict(network.named_modules())
    if layer not in modules:
        raise LayerError(f"the network has no layer {layer!r}; give a name of its named_modules()")
    kept: list[Any] = []

    def keep(module: nn.Module, _inputs: Any, output: Any) -> Any:
        # A copy goes on: what works in place on it would change what is kept.
        found = output if not isinstance(output, Tensor) or output.requires_grad else output.requires_grad_()
        kept.append(found)
        return found.clone() if isinstance(found, Tensor) else found

    handle = modules[layer].register_forward_hook(keep)
    try:
        scores = class_scores(network(windows))
    finally:
        handle.remove()
    if not kept or not isinstance(kept[-1], Tensor) or kept[-1].ndim != 5:
        raise LayerError(f"layer {layer!r} gives no (N, C, T, H, W) tensor; give a layer with time and space")
    return NetworkOutput(scores, kept[-1])


def interpretation(of: NetworkOutput, target: Tensor, *, differentiable: bool = False) -> Tensor:
    """Return the Grad-CAM++ map (N, T, H, W) of each window's target class.

    Args:
        of: scores and activation of the windows.
        target: (N,) indices of classes.
        differentiable: True to keep the graph through the gradients, so that a loss of the map can train the network.
    """
    score = of.scores.gather(1, target[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, of.activation, create_graph=differentiable, retain_graph=True)
    found = gradcam_plus_plus(of.activation, gradient)
    return found if differentiable else found.detach()


class DistillationLoss(nn.Module):
    """The loss of a student that learns from labels and from a teacher on the same windows.

        CE(scores, target) + alpha ‖L_s - L_t‖² + beta T² KL(softmax(scores_t / T) ‖ softmax(scores_s / T))

    L are the Grad-CAM++ maps of the target class, the square summed over time and space (Chattopadhyay et al. 2018,
    arXiv 1710.11063, section 6, with alpha = 0.01 and T = 4); the last term are the soft labels of Hinton et al. 2015
    (arXiv 1503.02531). Each map is divided by its largest value: raw maps of two networks have different units, and the
    paper does not say. A teacher's map of another size is interpolated to the student's. Means are taken over windows.

    Args:
        alpha: weight of the interpretation, 0 leaves it out.
        beta: weight of the soft labels, 0 leaves them out.
        temperature: T.

    Example:
        >>> loss = DistillationLoss(alpha=0.01, beta=1.0)
        >>> student, teacher = nn.Sequential(), nn.Sequential()
        >>> for each in (student, teacher):
        ...     for name, part in (("conv", nn.Conv3d(3, 4, 3)), ("relu", nn.ReLU()), ("pool", nn.AdaptiveAvgPool3d(1)),
        ...                        ("flat", nn.Flatten()), ("fc", nn.Linear(4, 2))):
        ...         each.add_module(name, part)
        >>> windows, target = torch.rand(5, 3, 4, 8, 8), torch.tensor([0, 1, 0, 1, 1])
        >>> loss(network_output(student, "relu", windows), network_output(teacher, "relu", windows), target).backward()
        >>> student.conv.weight.grad.abs().max() > 0, teacher.conv.weight.grad is None
        (tensor(True), True)
    """

    def __init__(self, *, alpha: float = 0.01, beta: float = 0.0, temperature: float = 4.0) -> None:
        super().__init__()
        if min(alpha, beta) < 0 or temperature <= 0:
            raise SettingsError(
                f"alpha {alpha} and beta {beta} must be 0 or more and the temperature {temperature} more than 0"
            )
        self.alpha, self.beta, self.temperature = alpha, beta, temperature

    def forward(self, student: NetworkOutput, teacher: NetworkOutput, target: Tensor) -> Tensor:
        """Return the loss, a number, whose graph reaches only the student.

        Args:
            student, teacher: outputs for the same N windows; see `network_output`.
            target: (N,) indices of the true classes.
        """
        map_ = interpretation(teacher, target) if self.alpha else None
        return self.from_maps(student, teacher.scores, map_, target)

    def from_maps(
        self, student: NetworkOutput, teacher_scores: Tensor, teacher_map: Tensor | None, target: Tensor
    ) -> Tensor:
        """Return the loss of `forward` from a teacher's stored outputs: scores (N, classes) and maps (N, T', H', W')."""
        loss = nn.functional.cross_entropy(student.scores, target)
        if self.alpha and teacher_map is not None:
            own = interpretation(student, target, differentiable=True)
            loss = loss + self.alpha * squared_distance(normalized(own), normalized(teacher_map.detach())).mean()
        if self.beta:
            warm = self.temperature
            soft = nn.functional.kl_div(
                (student.scores / warm).log_softmax(1),
                (teacher_scores.detach() / warm).log_softmax(1),
                reduction="batchmean",
                log_target=True,
            )
            loss = loss + self.beta * warm**2 * soft
        return loss


def soft_label_loss(teacher: nn.Module, network: nn.Module, given: Any) -> tuple[Tensor, float]:
    """Return the `DistillationLoss` of a batch by labels and soft labels, without maps, and the accuracy.

    Args:
        teacher: in evaluation mode; returns scores before softmax, (N, classes).
        network: the student, with the same classes.
        given: frames (N, 3, T, H, W) uint8 and labels (N,).
    """
    frames, target = given
    windows = PREPROCESS.normalized(frames).contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        theirs = teacher(windows).float()
    return _by_labels(network(windows).float(), theirs, target)


def hinted_loss(
    teacher: nn.Module, network: nn.Module, given: Any, *, both_halves: bool = False
) -> tuple[Tensor, float]:
    """Return the loss of `soft_label_loss` and a hint, the relative squared error of the features, and the accuracy.

        L = CE + T² KL + 10 Σ (A_s - A_t)² / Σ A_t²

    After Romero et al. 2015 (arXiv 1412.6550, eq. 3), without a regressor: the student sees the even frames, and its
    features have the channels and the grid of the teacher's, (N, 128, T/2, 14, 14).

    Args:
        teacher: a `SmallR2Plus1D` in evaluation mode.
        network: the student, of frames, with the same classes.
        given: frames (N, 3, T, 112, 112) uint8 and labels (N,).
        both_halves: True to add the odd frames, mirrored, as N more windows.
    """
    assert isinstance(network, RecurrentFrames | ShiftedFrames)
    frames, target = given
    windows = PREPROCESS.normalized(frames).contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        theirs = network_output(teacher, "layer3", windows)
    seen, wanted, scores = windows[:, :, ::2], theirs.activation.float(), theirs.scores.float()
    if both_halves:
        seen = torch.cat([seen, windows[:, :, 1::2].flip(-1)])
        wanted, scores, target = torch.cat([wanted, wanted.flip(-1)]), scores.repeat(2, 1), target.repeat(2)
    features = network.features(seen)
    hint = (features.float() - wanted).square().sum() / wanted.square().sum()
    loss, accuracy = _by_labels(network.scores(features).float(), scores, target)
    return 10 * hint + loss, accuracy


def _by_labels(scores: Tensor, theirs: Tensor, target: Tensor) -> tuple[Tensor, float]:
    loss = DistillationLoss(alpha=0.0, beta=1.0).from_maps(NetworkOutput(scores, scores), theirs, None, target)
    return loss, float((scores.argmax(1) == target).float().mean())


def normalized(maps: Tensor) -> Tensor:
    """Return maps (N, T, H, W), each divided by its largest value; an empty map is unchanged."""
    largest = maps.amax((1, 2, 3), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1.0)


def squared_distance(own: Tensor, other: Tensor) -> Tensor:
    """Return (N,) sums of squared differences of two maps over time and space; `other` takes the size of `own`."""
    resized = nn.functional.interpolate(
        rearrange(other, "n t h w -> n 1 t h w"), own.shape[1:], mode="trilinear", align_corners=False
    )
    return (own - resized[:, 0]).square().sum((1, 2, 3))
