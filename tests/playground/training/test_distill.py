from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_map
from vidcam.errors import LayerError, SettingsError
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.networks import SmallR2Plus1D
from vidcam.playground.shift import ShiftedFrames
from vidcam.playground.training.distill import (
    DistillationLoss,
    NetworkOutput,
    hinted_loss,
    interpretation,
    network_output,
    normalized,
    soft_label_loss,
    squared_distance,
)


class Small(nn.Module):
    """A layer to explain, then a head that is linear in it, or, where `bent`, another rectified layer."""

    def __init__(self, bent: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1))
        self.relu = nn.ReLU(inplace=True)
        self.after = nn.Conv3d(3, 3, (2, 1, 1)) if bent else nn.Identity()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.after(self.relu(self.conv(x))).relu_().mean((2, 3, 4)))


@pytest.fixture(params=[False, True])
def networks(request: pytest.FixtureRequest) -> tuple[Small, Small]:
    torch.manual_seed(1)
    return Small(request.param).double(), Small(request.param).double()


WINDOWS = torch.rand(3, 2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
TARGET = torch.tensor([0, 3, 1])


def test_the_map_is_that_of_grad_cam_plus_plus(networks: tuple[Small, Small]) -> None:
    own = interpretation(network_output(networks[0], "relu", WINDOWS), TARGET, differentiable=True)
    for window, target, found in zip(WINDOWS, TARGET, own):
        expected = class_activation_map(networks[0], window[None], layer="relu", target=int(target))
        torch.testing.assert_close(found[None].float(), expected)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.0), (0.5, 0.7)])
def test_gradients_are_those_of_differences(networks: tuple[Small, Small], alpha: float, beta: float) -> None:
    student, teacher = networks
    loss = DistillationLoss(alpha=alpha, beta=beta)
    names = [name for name, _ in student.named_parameters()]
    taught = network_output(teacher, "relu", WINDOWS)

    def of(*parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters))
        features = torch.func.functional_call(
            student.conv, {n[5:]: p for n, p in named.items() if "conv" in n}, (WINDOWS,)
        )
        activation = features.relu()
        after = activation
        if isinstance(student.after, nn.Conv3d):
            after = nn.functional.conv3d(activation, named["after.weight"], named["after.bias"])
        scores = nn.functional.linear(after.relu().mean((2, 3, 4)), named["fc.weight"], named["fc.bias"])
        return loss(NetworkOutput(scores, activation), taught, TARGET)

    parameters = tuple(p.detach().clone().requires_grad_() for p in student.parameters())
    assert torch.autograd.gradcheck(of, parameters, eps=1e-7, atol=1e-4)
    whole = loss(network_output(student, "relu", WINDOWS), taught, TARGET)
    torch.testing.assert_close(whole, of(*parameters))


def test_each_term_is_what_it_is_said_to_be(networks: tuple[Small, Small]) -> None:
    student, teacher = (network_output(network, "relu", WINDOWS) for network in networks)
    plain = DistillationLoss(alpha=0)(student, teacher, TARGET)
    torch.testing.assert_close(plain, nn.functional.cross_entropy(student.scores, TARGET))
    pairs = list(zip(interpretation(student, TARGET), interpretation(teacher, TARGET)))
    by_hand = sum(float((a / (a.max() or 1) - b / (b.max() or 1)).square().sum()) for a, b in pairs) / len(pairs)
    assert (DistillationLoss(alpha=2)(student, teacher, TARGET) - plain).item() == pytest.approx(2 * by_hand)
    p, q = ((s.scores.detach() / 4).softmax(1) for s in (teacher, student))
    divergence = 16 * float((p * (p / q).log()).sum(1).mean())
    assert (DistillationLoss(alpha=0, beta=3)(student, teacher, TARGET) - plain).item() == pytest.approx(3 * divergence)


def test_a_student_learns_to_look_where_its_teacher_looks(networks: tuple[Small, Small]) -> None:
    student, teacher = networks
    loss, optimizer = DistillationLoss(alpha=1.0), torch.optim.Adam(student.parameters(), 1e-2)

    def apart() -> float:
        maps = [normalized(interpretation(network_output(network, "relu", WINDOWS), TARGET)) for network in networks]
        return float(squared_distance(*maps).mean())

    before = apart()
    for _ in range(150):
        optimizer.zero_grad()
        loss(network_output(student, "relu", WINDOWS), network_output(teacher, "relu", WINDOWS), TARGET).backward()
        optimizer.step()
    assert apart() < 0.3 * before
    assert all(p.grad is None for p in teacher.parameters())


def test_labels_and_soft_labels_of_a_batch_of_frames() -> None:
    torch.manual_seed(4)
    teacher, student = (nn.Sequential(nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(24, 4)) for _ in range(2))
    frames = torch.randint(0, 256, (3, 3, 2, 4, 4), dtype=torch.uint8)
    loss, accuracy = soft_label_loss(teacher, student, (frames, TARGET))
    loss.backward()
    windows = PREPROCESS.normalized(frames)
    scores, theirs = student(windows).detach(), teacher(windows).detach()
    expected = 0.0
    for row, soft, label in zip(scores, theirs, TARGET):
        p, q = (soft / 4).softmax(0), (row / 4).softmax(0)
        expected += float(-row.log_softmax(0)[label] + 16 * (p * (p / q).log()).sum()) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert accuracy == pytest.approx(float((scores.argmax(1) == TARGET).float().mean()))
    assert teacher[2].weight.grad is None and student[2].weight.grad.abs().max() > 0


def test_a_hint_is_the_squared_error_of_features_relative_to_the_teachers() -> None:
    torch.manual_seed(5)
    teacher, student = SmallR2Plus1D(4).eval(), ShiftedFrames(4).eval()
    frames, target = torch.randint(0, 256, (2, 3, 16, 112, 112), dtype=torch.uint8), torch.tensor([1, 3])
    with torch.no_grad():
        windows = PREPROCESS.normalized(frames)
        wanted = teacher.layer3(teacher.layer2(teacher.layer1(teacher.stem(windows))))
        own = student.cnn(windows[:, :, [0, 2, 4, 6, 8, 10, 12, 14]]).unflatten(0, (2, 8)).transpose(1, 2)
        theirs, scores = teacher(windows), student(windows[:, :, ::2])
        plain = DistillationLoss(alpha=0, beta=1)(NetworkOutput(scores, own), NetworkOutput(theirs, wanted), target)
        found = hinted_loss(teacher, student, (frames, target))
    expected = plain + 10 * (own - wanted).norm() ** 2 / wanted.norm() ** 2
    assert found[0].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found[1] == float((scores.argmax(1) == target).float().mean())


def test_the_odd_frames_are_windows_too() -> None:
    torch.manual_seed(5)
    teacher, student = SmallR2Plus1D(4).eval(), ShiftedFrames(4).eval()
    half, target = torch.randint(0, 256, (2, 3, 8, 112, 112), dtype=torch.uint8), torch.tensor([1, 3])
    mirrored = half.flip(-1)
    frames = torch.stack([half, mirrored], dim=3).flatten(2, 3)  # even frames, and the same mirrored as odd ones
    with torch.no_grad():
        windows = PREPROCESS.normalized(frames)
        wanted, theirs = teacher.layer3(teacher.layer2(teacher.layer1(teacher.stem(windows)))), teacher(windows)
        own, scores = student.features(windows[:, :, ::2]), student(windows[:, :, ::2])
        plain = DistillationLoss(alpha=0, beta=1)(NetworkOutput(scores, own), NetworkOutput(theirs, wanted), target)
        found = hinted_loss(teacher, student, (frames, target), both_halves=True)
    errors = (own - wanted).square().sum() + (own - wanted.flip(-1)).square().sum()
    expected = plain + 10 * errors / (2 * wanted.square().sum())
    assert found[0].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found[1] == float((scores.argmax(1) == target).float().mean())


def test_a_map_of_another_size_is_interpolated() -> None:
    own, other = torch.ones(1, 4, 6, 6), torch.ones(1, 2, 3, 3)
    assert squared_distance(own, other).tolist() == [0]
    assert squared_distance(own, 3 * other).tolist() == [4 * 4 * 36]
    assert squared_distance(normalized(own), normalized(3 * other)).tolist() == [0]
    assert normalized(0 * own).abs().max() == 0


def test_what_cannot_be_used() -> None:
    with pytest.raises(LayerError, match="no layer 'none'"):
        network_output(Small(False), "none", WINDOWS)
    with pytest.raises(LayerError, match="no \\(N, C, T, H, W\\) tensor"):
        network_output(Small(False).double(), "fc", WINDOWS)
    with pytest.raises(SettingsError, match="alpha -1"):
        DistillationLoss(alpha=-1)
