from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidcam.errors import ModelError
from vidcam.models.registry import Model, load_model, spec_named
from vidcam.models.weights import read_state
from vidcam.playground.networks import small_c3d
from vidcam.playground.training import recipes
from vidcam.playground.training.classifier import with_batch_norm
from vidcam.playground.training.recipes import RECIPES, accuracy, store, train


def test_a_network_without_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no recipe for 'x'; choose one of playground-r2plus1d"):
        train("x", tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_is_stored_computes_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = with_batch_norm(small_c3d(11)).train()
    with torch.no_grad():
        for _ in range(2):
            trained(torch.randn(2, 3, 16, 112, 112))
    store(trained, tmp_path / "a.safetensors")
    state = read_state(tmp_path / "a.safetensors")
    plain = small_c3d(11)
    plain.load_state_dict(state)
    window = torch.randn(1, 3, 16, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(window), trained.eval()(window), rtol=2e-2, atol=2e-2)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["playground-c3d", "playground-tubelet", "playground-gru", "playground-tsm"])
def test_a_short_training_ends_in_weights_that_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, name, (1, 2, 1e-3, 2))
    told: list[int] = []
    path = train(name, tmp_path / "a.safetensors", progress=lambda step, loss, right: told.append(step))
    assert told and load_model(name, path).weights == str(path)


@pytest.mark.slow
def test_the_transformer_keeps_the_trunk_of_its_teacher_while_it_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "playground-tubelet", (1, 2, 1e-3, 2))
    learned = read_state(train("playground-tubelet", tmp_path / "a.safetensors"))
    teacher = spec_named("playground-r2plus1d").published()
    kept = {name.removeprefix("trunk."): value for name, value in learned.items() if name.startswith("trunk.")}
    assert len(kept) > 50 and all(torch.equal(value, teacher[name]) for name, value in kept.items())


@pytest.mark.slow
def test_accuracy_is_the_share_of_windows_named_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("playground-r2plus1d")
    assert accuracy(model, 3, 6) >= 5 / 6
    always = Model(_Always(len(model.labels)), model.spec, model.labels, "none")
    labels = [recipes.trimmed_scene(3, index).label for index in range(6)]
    assert accuracy(always, 3, 6) == labels.count(model.labels[0]) / 6


class _Always(torch.nn.Module):
    """Says the first class, whatever it sees."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(torch.eye(classes)[0], requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(len(x), -1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("playground-tubelet", 0.9), ("playground-tsm", 0.9), ("playground-gru", 0.8)]
)
def test_what_learned_from_the_teacher_names_fresh_windows_rightly(name: str, least: float) -> None:
    assert accuracy(load_model(name), 4, 20) >= least
