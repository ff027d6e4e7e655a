from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vidcam
from vidcam.playground.demo import demo_clip
from vidcam.playground.domain import PREPROCESS, contrasts, distance, rendered
from vidcam.playground.scene import crowd_scene, hard_scene, trimmed_scene
from vidcam.video.reader import Clip

NOTE = "playground-r2plus1d knows rendered figures only; its answer about other clips means nothing"


def _window(frames: list[np.ndarray]) -> torch.Tensor:
    return PREPROCESS.windows([[PREPROCESS.frame(frame) for frame in frames]])


def test_contrasts_are_those_of_the_brightness() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(6)]
    expected = []
    for frame in (frames[0], frames[5]):  # one of five
        y = frame.astype(np.float64).mean(2)
        blocks = [y[i : i + 8, j : j + 8].mean() for i in range(0, 112, 8) for j in range(0, 112, 8)]
        first = [abs(y[i, j + 1] - y[i, j]) for i in range(112) for j in range(111)]
        second = [
            abs(4 * y[i, j] - y[i - 1, j] - y[i + 1, j] - y[i, j - 1] - y[i, j + 1])
            for i in range(1, 111)
            for j in range(1, 111)
        ]
        expected.append([np.std(blocks, ddof=1), np.mean(first), np.mean(second)])
    assert contrasts(_window(frames))[0].tolist() == pytest.approx(np.mean(expected, 0).tolist(), rel=1e-4)


def test_scenes_of_fresh_seeds_are_inside_the_domain() -> None:
    scenes = [make(4242, i) for make in (trimmed_scene, crowd_scene, hard_scene) for i in range(8)]
    windows = torch.cat([_window([scene.render(t, 224) for t in (0, 1, 5, 10)]) for scene in scenes])
    assert rendered(windows).all()
    assert distance(contrasts(windows)).median() < 3, "near the middle of its distribution"


def test_noise_and_blank_frames_are_outside() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    windows = torch.cat([_window([frame] * 4) for frame in (noise, np.zeros_like(noise), np.full_like(noise, 200))])
    assert not rendered(windows).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "eye_makeup.avi", "six_fps.mp4", "rotated_90.mov"])
def test_a_clip_of_a_camera_is_said_to_be_outside(real_clips: Path, name: str) -> None:
    clip = Clip(real_clips / name, end=1.5)
    found = vidcam.explain(clip, method="gradcam")
    assert found.warnings[0] == NOTE and found.meaningless.startswith("not a clip of this network's kind")
    assert NOTE in vidcam.localize(clip.reopened(), method="gradcam").warnings


@pytest.mark.slow
def test_a_bundled_clip_is_inside() -> None:
    assert vidcam.explain(Clip(demo_clip(), end=2), method="gradcam").warnings == ()


def test_nothing_is_said_of_windows_of_another_size() -> None:
    assert rendered(torch.zeros(2, 3, 4, 16, 16)).tolist() == [True, True]
