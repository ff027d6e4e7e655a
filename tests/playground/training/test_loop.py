from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidcam.errors import ModelError
from vidcam.playground.actions import LABELS
from vidcam.playground.training.classifier import TrainingWindows, classification_loss
from vidcam.playground.training.loop import fit


class Tiny(nn.Module):
    """Enough of a network to be fitted in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (3, 8, 8), (4, 8, 8))
        self.fc = nn.Linear(4, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3, 4)))


@pytest.mark.slow
def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path) -> None:
    def fitted(checkpoint: Path, stop_at: int | None = None) -> nn.Module:
        torch.manual_seed(0)

        def progress(step: int, loss: float, accuracy: float) -> None:
            if step == stop_at:
                raise KeyboardInterrupt

        return fit(
            Tiny(),
            lambda first, count: TrainingWindows(first, count),
            classification_loss,
            steps=52,
            rate=1e-2,
            checkpoint=checkpoint,
            batch=1,
            progress=progress,
        )

    whole = fitted(tmp_path / "whole")
    with contextlib.suppress(KeyboardInterrupt):
        fitted(tmp_path / "halved", stop_at=51)
    resumed = fitted(tmp_path / "halved")
    for expected, found in zip(whole.parameters(), resumed.parameters()):
        torch.testing.assert_close(found, expected)


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    torch.save({"network": {}}, tmp_path / "other")
    (tmp_path / "damaged").write_bytes(b"PK\3\4" + bytes(100))
    for name in ("other", "damaged"):
        with pytest.raises(ModelError, match="is no checkpoint of this training"):
            fit(
                Tiny(),
                lambda first, count: TrainingWindows(first, count),
                classification_loss,
                steps=2,
                rate=1e-2,
                checkpoint=tmp_path / name,
                batch=1,
            )
