from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.callbacks.conftest import Net, explainer_of
from tests.callbacks.test_tensorboard import logged
from vidcam.errors import SettingsError
from vidcam.models.torchvision_import import import_torchvision

import_torchvision()  # Lightning imports it
pl: Any = pytest.importorskip("lightning.pytorch", reason="lightning is not installed: pip install 'vidcam[lightning]'")


class Module(pl.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.network = Net()

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        assert self.network.training and torch.is_grad_enabled()
        return self.network(batch).square().mean()

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        assert not self.network.training

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trained(callback: Any, folder: Path, *, epochs: int = 3, bias: float = 0.0, **given: Any) -> Module:
    windows = DataLoader([torch.rand(3, 8, 32, 32) for _ in range(2)], batch_size=2)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=str(folder),
        log_every_n_steps=1,
        callbacks=[callback],
        **quiet,
        **given,
    )
    module = Module()
    module.network.head.bias.data[2] += bias
    trainer.fit(module, windows, windows)
    return module


def explained(module: Module) -> Any:
    return explainer_of(module.network)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_clips_are_logged_after_validations(clips: list[Path], tmp_path: Path) -> None:
    from vidcam.callbacks.lightning import ExplainValidation

    logger = pl.loggers.TensorBoardLogger(str(tmp_path / "runs"))
    trained(ExplainValidation(explained, clips, "wave", every=2), tmp_path, logger=logger)
    events = logged(Path(logger.log_dir))
    films = events.Images("explanations/a")
    assert [film.step for film in films] == [1, 3]  # of three epochs of one step the first and the third
    scores = [score.value for score in events.Scalars("explanations/a/score")]
    assert scores[0] != scores[1]  # the network has been trained between them


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trainer_without_a_logger_for_films_is_refused(clips: list[Path], tmp_path: Path) -> None:
    from vidcam.callbacks.lightning import ExplainValidation

    with pytest.raises(SettingsError, match="has no TensorBoardLogger or WandbLogger"):
        trained(ExplainValidation(explained, clips), tmp_path, logger=False)
    with pytest.raises(SettingsError, match="every is 0"):
        ExplainValidation(explained, clips, every=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_another_training_with_the_same_callback_is_explained_by_its_own_network(
    clips: list[Path], tmp_path: Path
) -> None:
    from vidcam.callbacks.lightning import ExplainValidation

    callback = ExplainValidation(explained, clips[:1], "wave", every=2)
    for run, bias in enumerate([0.0, 10.0]):
        logger = pl.loggers.TensorBoardLogger(str(tmp_path / str(run)))
        module = trained(callback, tmp_path, epochs=1, bias=bias, logger=logger)
        (score,) = logged(Path(logger.log_dir)).Scalars("explanations/a/score")
        expected = explained(module).explain(clips[0], "wave")[0].target.probability
        assert score.value == pytest.approx(expected, abs=1e-5)
