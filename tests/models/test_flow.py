from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.errors import SettingsError
from vidcam.explainer import Explainer
from vidcam.models.flow import RGBAndFlow
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.recipe import Recipe, read_config

SIZE = 64


def _texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (3 * SIZE, 3 * SIZE)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def _moving(right: int, down: int, frames: int = 5) -> np.ndarray:
    """Frames (T, 64, 64, 3) of a grey texture that moves by so many pixels from one to the next."""
    texture = _texture()
    views = [texture[SIZE - t * down :, SIZE - t * right :][:SIZE, :SIZE] for t in range(frames)]
    return np.stack([np.stack([view] * 3, -1) for view in views])


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_flow_is_that_of_opencv_in_pixels_over_the_bound(bgr: bool, dtype: torch.dtype) -> None:
    preprocess = Preprocess(SIZE, (SIZE, SIZE), (0.4, 0.5, 0.3), (0.2, 0.3, 0.25), bgr=bgr)
    clips = np.random.default_rng(1).integers(0, 256, (2, 4, SIZE, SIZE, 3), np.uint8)
    windows = preprocess.windows([list(clip) for clip in clips]).to(dtype)
    frames, flow = RGBAndFlow(preprocess, bound=1)(windows)
    assert frames is windows and flow.dtype == dtype
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    for n, clip in enumerate(clips):
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
        for t in range(4):
            step = min(t, 2)
            expected = search.calc(greys[step], greys[step + 1], None)
            assert np.abs(expected).max() > 1  # noise: some is cut
            np.testing.assert_allclose(flow[n, :, t].movedim(0, -1).numpy(), np.clip(expected, -1, 1), atol=1e-6)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-1, 2)])
def test_a_texture_that_moves_has_its_flow(right: int, down: int) -> None:
    preprocess = Preprocess(SIZE, (SIZE, SIZE), (0.45,) * 3, (0.225,) * 3)
    _, flow = RGBAndFlow(preprocess)(preprocess.windows([list(_moving(right, down))]))
    inside = 20 * flow[0, :, :, 12:-12, 12:-12].mean((2, 3))
    torch.testing.assert_close(inside, torch.tensor([[right], [down]]).float().expand(2, 5), atol=0.2, rtol=0)


def test_one_frame_has_no_flow() -> None:
    preprocess = Preprocess(SIZE, (SIZE, SIZE), (0.45,) * 3, (0.225,) * 3)
    assert not RGBAndFlow(preprocess)(torch.randn(2, 3, 1, SIZE, SIZE))[1].any()


class TwoStreams(nn.Module):
    """A stream of frames, whose score is their red, and one of flow, whose score is that to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.rgb, self.flow = nn.Conv3d(3, 2, (1, 16, 16), (1, 16, 16)), nn.Conv3d(2, 2, (1, 16, 16), (1, 16, 16))
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            for conv in (self.rgb, self.flow):
                conv.weight.zero_()
                conv.bias.zero_()
                conv.weight[0, 0] = 1 / 256
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))

    def forward(self, frames: Tensor, flow: Tensor) -> Tensor:
        return self.fc(self.rgb(frames).relu().mean((2, 3, 4)) + 10 * self.flow(flow).relu().mean((2, 3, 4)))


BLACK = Preprocess(128, (128, 128), (0.0,) * 3, (1.0,) * 3)


def _clip() -> np.ndarray:
    """Eight frames of a green texture: its cells (4..6, 4..6) move to the right from frame 4 to 6; cell (1, 1) is red in
    frames 1 and 2."""
    still, texture, shift = _texture(1)[:128, :128], _texture(2), 0
    clip = np.zeros((8, 128, 128, 3), np.uint8)
    clip[1:3, 16:32, 16:32, 0] = 30
    for t in range(8):
        shift += 3 if t in (5, 6) else 0
        clip[t, :, :, 1] = still
        clip[t, 64:112, 64:112, 1] = texture[:48, 40 - shift :][:, :48]
    return clip


@pytest.mark.slow
def test_each_stream_has_its_own_evidence() -> None:
    model = own_model(TwoStreams(), preprocess=BLACK, frames=8, frame_rate=8, pack="rgb_and_flow", layer="rgb,flow")
    recipe = Recipe(context=False, dtype="float32", method="gradcam")
    fused, rgb, flow = Explainer(model, recipe).explain(_clip(), 0)
    assert [fused.layer, rgb.layer, flow.layer] == ["rgb,flow", "rgb", "flow"]
    assert rgb.maps[1:3, 1, 1].sum() > 0.99 * rgb.maps.sum() > 0
    assert flow.maps[4:6, 4:7, 4:7].sum() > 0.9 * flow.maps.sum() > 0
    assert fused.maps[1:3, 1, 1].min() > 0 and fused.maps[4:6, 4:7, 4:7].mean() > 0


def test_a_config_packs_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "model: {factory: 'tests.models.test_flow:TwoStreams', pack: rgb_and_flow, frames: 4, layer: flow, frame_rate: 8,"
        " preprocess: {resize: 64, crop: [64, 64], mean: [0, 0, 0], std: [1, 1, 1]}}",
        encoding="utf-8",
    )
    model = read_config(tmp_path / "mine.yaml", {}, trusted=True).load()
    assert model.spec.pack == RGBAndFlow(model.spec.preprocess)
    with pytest.raises(SettingsError, match="there is no pack 'flow'; choose one of rgb_and_flow"):
        own_model(TwoStreams(), preprocess=BLACK, pack="flow")  # type: ignore[arg-type]
