from __future__ import annotations

import pytest
import torch

from vidcam.models.images import default_layer, layout, names, one_frame


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"), ("wide_resnet50_2", "layer4"), ("resnext50_32x4d", "layer4"), ("vgg11_bn", "features"),
        ("mobilenet_v3_small", "features"), ("googlenet", "inception5b"), ("swin_v2_t", "norm"), ("vit_b_16", None),
        ("inception_v3", None), ("", None),
    ],
)  # fmt: skip
def test_the_last_layer_with_a_grid_by_family(name: str, layer: str | None) -> None:
    assert default_layer(name) == layer


def test_the_names_are_those_whose_layer_is_known() -> None:
    found = names()
    assert {"resnet50", "vgg16", "convnext_tiny", "swin_t"} <= set(found)
    assert all(default_layer(name) for name in found) and not {"vit_b_16", "r3d_18"} & set(found)
    assert (layout("swin_t").pattern, layout("resnet18").pattern) == ("n h w c", None)


def test_a_window_of_one_frame_is_a_picture() -> None:
    windows = torch.rand(2, 3, 1, 4, 5)
    assert torch.equal(one_frame(windows), windows[:, :, 0])
    with pytest.raises(Exception, match="1"):
        one_frame(torch.rand(2, 3, 2, 4, 5))
