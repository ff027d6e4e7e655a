from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vidcam
from tests.conftest import numbered, write_video
from vidcam.models.preprocess import Preprocess


class Net(nn.Module):
    """A small 3D network with batch normalization and dropout, which behave otherwise while they are trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv3d(3, 4, 3, stride=2, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.5)
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3, 4)))


@pytest.fixture
def network() -> Net:
    return Net()


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [write_video(tmp_path / f"{name}.mp4", [numbered(i, 48, 64) for i in range(12)]) for name in "ab"]


def explainer_of(network: nn.Module) -> vidcam.Explainer:
    """An explainer of windows of 8 frames of 32x32."""
    size = Preprocess(32, (32, 32), (0.4,) * 3, (0.2,) * 3)
    model = vidcam.own_model(network, frames=8, preprocess=size, labels=["run", "sit", "wave"])
    return vidcam.Explainer(model, vidcam.Recipe(dtype="float32", film_width=64))
