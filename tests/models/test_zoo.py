"""Every network that can be named builds, runs and gives a map at its default layer, for random weights."""

from __future__ import annotations

import pytest
import torch

from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.targets import class_scores
from vidcam.models.registry import load_model, model_names, spec_named

# The smallest window a network takes, where it is smaller than what it was trained with: frames and side in pixels.
SMALL = {
    "s3d": (14, 224),
    "swin3d_t": (8, 112),
    "swin3d_s": (4, 96),
    "swin3d_b": (4, 96),
    "slow_r50": (8, 224),
    "slowfast_r50": (32, 224),
    "slowfast_r101": (32, 224),
    "x3d_xs": (4, 160),
    "x3d_s": (13, 160),
    "x3d_m": (16, 224),
    "x3d_l": (16, 312),
    "r2plus1d_r50": (16, 224),
    "i3d_r50": (8, 224),
    "c2d_r50": (8, 224),
    "csn_r101": (32, 224),
    "r2plus1d_34_8": (8, 56),
    "r2plus1d_34_32": (8, 56),
    "i3d": (9, 224),
    "slow_r50-mmaction": (8, 64),
    "slow_r50_4x16-mmaction": (4, 64),
    "i3d_r50-mmaction": (16, 64),
    "slowfast_r50-mmaction": (8, 64),
    "tsn_r50": (8, 64),
    "tsm_r50": (8, 64),
    "tsm_r50_16": (16, 64),
    "r3d_18-kenshohara": (16, 64),
    "r3d_34-kenshohara": (16, 64),
    "r3d_50-kenshohara": (16, 64),
}
IMAGES = [("resnet18", 64), ("vgg11", 64), ("convnext_tiny", 64), ("swin_t", 64), ("densenet121", 64)]


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_the_default_layers_give_a_map(name: str) -> None:
    spec = spec_named(name)
    frames, side = SMALL.get(name, (spec.frames, spec.preprocess.crop[0]))
    _check(name, frames, side)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), IMAGES)
def test_image_classifiers_give_a_map(name: str, side: int) -> None:
    _check(name, 1, side)


def _check(name: str, frames: int, side: int) -> None:
    model = load_model(name, "none")
    layers = model.spec.layer.split(",")
    windows = torch.randn(1, 3, frames, side, side, generator=torch.Generator().manual_seed(0))
    with captured(model.network, layers, windows, layout=model.spec.layout, pack=model.spec.pack) as capture:
        assert class_scores(capture.output).shape == (1, model.spec.num_classes)
        maps = class_activation_maps(capture, lambda output: class_scores(output)[:, 3], ["gradcam++"])
    assert [layer for _, layer in maps] == layers
    for heat in maps.values():
        assert torch.isfinite(heat).all() and heat.std() > 0
    assert "random weights" in model.note
