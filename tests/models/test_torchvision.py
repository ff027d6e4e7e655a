from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidcam.errors import ModelError
from vidcam.models.torchvision import build, labels, preprocess, published, r2plus1d_34


def test_labels_are_those_of_the_published_weights() -> None:
    assert len(labels("r3d_18")) == 400 and labels("r3d_18")[5] == "archery"
    assert len(labels("resnet18")) == 1000 and labels("resnet18")[1] == "goldfish"


@pytest.mark.parametrize(
    ("name", "resize", "crop"), [("resnet18", 256, 224), ("convnext_tiny", 236, 224), ("efficientnet_b0", 256, 224)]
)
def test_frames_are_prepared_as_torchvision_does(name: str, resize: int, crop: int) -> None:
    found = preprocess(name)
    assert (found.resize, found.crop) == (resize, (crop, crop))
    assert found.mean == pytest.approx((0.485, 0.456, 0.406)) and found.std == pytest.approx((0.229, 0.224, 0.225))


def test_a_network_has_the_classes_that_are_asked_for() -> None:
    with torch.no_grad():
        assert build("r3d_18", 7).eval()(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 7)


def test_weights_come_from_the_cache_and_their_digest_is_checked(refused: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"r3d_18-b3b3357e\.pth"):
        published("r3d_18")
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    state = build("r3d_18", 400).state_dict()
    torch.save(state, place / "r3d_18-b3b3357e.pth")
    found = published("r3d_18")
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.slow
def test_the_middle_channels_of_r2plus1d_34_are_those_of_caffe2() -> None:
    network = r2plus1d_34(359)
    assert [len(getattr(network, f"layer{n}")) for n in (1, 2, 3, 4)] == [3, 4, 6, 3]
    widths = [getattr(network, f"layer{n}")[0].conv2[0][0].out_channels for n in (2, 3, 4)]
    assert widths == [288, 576, 1152]  # of torchvision's: 288 for the first convolution alone
    assert network.layer2[0].conv2[0][3].out_channels == 128 and network.fc.out_features == 359
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)} == {1e-3}
