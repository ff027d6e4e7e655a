from __future__ import annotations

import numpy as np
import pytest
import torch

from vidcam.errors import SettingsError
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import spec_named
from vidcam.models.torchvision_import import import_torchvision


@pytest.mark.parametrize("name", ["r2plus1d_18", "s3d", "mvit_v1_b", "swin3d_t"])
@pytest.mark.parametrize("size", [(240, 320), (567, 321), (256, 341)])
def test_against_the_publishers_own_transforms(name: str, size: tuple[int, int]) -> None:
    import_torchvision()
    from torchvision.models import get_model_weights

    rng = np.random.default_rng(0)
    coarse = torch.tensor(rng.integers(0, 256, (2, 3, 30, 40)), dtype=torch.float32)
    video = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").round().byte()
    expected = get_model_weights(name).DEFAULT.transforms()(video)
    preprocess = spec_named(name).preprocess
    found = preprocess.windows([[preprocess.frame(f.permute(1, 2, 0).numpy()) for f in video]])[0]
    assert found.shape == expected.shape
    # Both round to whole levels of 255 after resizing, and may round apart by one.
    assert (found - expected).abs().max() < 1.01 / 255 / 0.2145


def test_bgr_and_means_by_hand() -> None:
    preprocess = Preprocess((1, 1), (1, 1), (1.0, 2.0, 3.0), (1.0, 2.0, 4.0), scale=1.0, bgr=True)
    window = preprocess.windows([[np.array([[[10, 20, 31]]], np.uint8)]])
    assert window.shape == (1, 3, 1, 1, 1)
    assert window.flatten().tolist() == [30.0, 9.0, 1.75]


def test_pixels_are_not_changed_by_their_normalisation() -> None:
    preprocess = Preprocess((4, 4), (4, 4), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    pixels = torch.arange(96, dtype=torch.float32).view(1, 3, 2, 4, 4)
    given = pixels.clone()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    torch.testing.assert_close(preprocess.normalized(pixels), (given / 255 - mean) / std)
    torch.testing.assert_close(preprocess.normalized(pixels.byte()), preprocess.normalized(pixels))
    assert torch.equal(pixels, given)


def test_the_region_is_what_the_crop_keeps() -> None:
    preprocess = Preprocess((100, 200), (50, 100), (0.0,) * 3, (1.0,) * 3)
    assert preprocess.region(200, 800) == (200, 50, 600, 150)
    picture = np.zeros((200, 800, 3), np.uint8)
    picture[50:150, 200:600] = 255
    assert preprocess.frame(picture).min() == 255


def test_one_number_is_the_shorter_side() -> None:
    preprocess = Preprocess(100, (100, 100), (0.0,) * 3, (1.0,) * 3)
    assert preprocess.region(200, 800) == (300, 0, 500, 200)
    assert preprocess.region(800, 200) == (0, 300, 200, 500)
    picture = np.zeros((200, 800, 3), np.uint8)
    picture[:, 300:500] = 255
    assert preprocess.frame(picture).min() == 255


def test_a_scale_of_0_is_refused() -> None:
    with pytest.raises(SettingsError, match="a scale that is not 0"):
        Preprocess((1, 1), (1, 1), (1.0, 2.0, 3.0), (1.0, 2.0, 4.0), scale=0.0)
