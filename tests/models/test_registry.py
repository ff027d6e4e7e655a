from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from vidcam.errors import ModelError
from vidcam.models.registry import image_model_names, load_model, model_names, prepare, spec_named
from vidcam.playground.spec import bundled_weights


def test_random_weights_are_the_same_every_time() -> None:
    first, second = (load_model("playground-c3d", "none").network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_kinetics_labels() -> None:
    labels = spec_named("r3d_18").labels()
    assert len(labels) == 400 and labels[5] == "archery"


@pytest.mark.parametrize(
    "name", ["playground-r2plus1d", "playground-c3d", "playground-tubelet", "playground-gru", "playground-tsm"]
)
def test_bundled_weights_are_small_and_load(name: str) -> None:
    assert bundled_weights(name).stat().st_size <= 3_000_000
    model = load_model(name)
    assert model.note == "" and model.labels[model.background or 0] == "nothing"


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"there is no model 'r2plus1d'; did you mean .*r2plus1d_18"):
        load_model("r2plus1d")
    assert "c3d" in model_names()


@pytest.mark.parametrize("name", ["c3d", "c3d-caffe"])
def test_c3d_says_what_to_fetch(name: str) -> None:
    with pytest.raises(ModelError, match=r"fetch .*github.com.*--weights FILE.*bundled networks"):
        load_model(name)


def test_without_network_the_error_says_what_to_fetch(refused: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model("r3d_18")
    message = str(caught.value)
    assert "https://download.pytorch.org/models/r3d_18-b3b3357e.pth" in message
    assert str(tmp_path / "hub" / "checkpoints" / "r3d_18-b3b3357e.pth") in message
    assert "playground-r2plus1d and playground-c3d need no download" in message


def test_a_file_with_other_classes_and_labels(tmp_path: Path) -> None:
    spec = spec_named("playground-r2plus1d")
    torch.save(spec.build(3).state_dict(), tmp_path / "mine.pth")
    assert load_model(spec.name, tmp_path / "mine.pth").labels == ("class 0", "class 1", "class 2")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert load_model(spec.name, tmp_path / "mine.pth", tmp_path / "labels.txt").labels == ("a", "b", "c")
    (tmp_path / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(ModelError, match="has 2 labels, the network 3 classes"):
        load_model(spec.name, tmp_path / "mine.pth", tmp_path / "labels.txt")


def test_a_file_with_as_many_classes_has_the_published_labels_and_a_note(tmp_path: Path) -> None:
    spec = spec_named("playground-r2plus1d")
    torch.save(spec.build(spec.num_classes).state_dict(), tmp_path / "mine.pth")
    model = load_model(spec.name, tmp_path / "mine.pth")
    assert model.labels == spec.labels()
    assert "the weights hold no class labels, and those of the published playground-r2plus1d are shown" in model.note
    (tmp_path / "labels.txt").write_text("\n".join(spec.labels()), encoding="utf-8")
    assert load_model(spec.name, tmp_path / "mine.pth", tmp_path / "labels.txt").note == ""
    assert load_model(spec.name).note == ""


def test_an_image_classifier_is_known_by_its_name() -> None:
    spec = spec_named("resnet18")
    assert (spec.frames, spec.layer, spec.preprocess.resize, spec.preprocess.crop) == (1, "layer4", 256, (224, 224))
    assert spec.labels()[1] == "goldfish"
    assert {"resnet50", "vgg16", "convnext_tiny", "swin_t"} <= set(image_model_names())


class Point:
    """An entry point of another package."""

    dist = None

    def __init__(self, name: str, found: object) -> None:
        self.name, self.value, self._found = name, f"other.package:{name}", found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_other_packages_add_models(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(spec_named("playground-c3d"), name="theirs")
    points = [Point("theirs", spec), Point("made", lambda: spec), Point("text", "x"), Point("broken", ImportError("?"))]
    monkeypatch.setattr("vidcam.models.registry.entry_points", lambda group: points if group == "vidcam.models" else [])
    assert {"theirs", "made"} <= set(model_names())
    assert spec_named("theirs") is spec and load_model("made").spec is spec
    with pytest.raises(ModelError, match=r"'broken' of other.package:broken does not load \(ImportError"):
        spec_named("broken")
    with pytest.raises(ModelError, match="does not load"):
        spec_named("text")


def test_convolutions_over_three_dimensions_and_two_in_one_network() -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Conv2d(4, 4, 3)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = prepare(network).state_dict()
    assert not network.training and all(torch.equal(found[name], before[name]) for name in before)
    assert found["0.weight"].is_contiguous(memory_format=torch.channels_last_3d)


def test_a_network_with_parameters_of_four_axes_beside_a_convolution_is_prepared() -> None:
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Conv2d(4, 2, 3))
    network.register_parameter("codes", nn.Parameter(torch.zeros(1, 2, 3, 4)))
    prepare(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not network.training
