"""Place of the evidence at each depth of the bundled transformer, on windows that the action fills.

    python scripts/token_layers.py [--seed 32] [--count 100]

Pointing is the share of frames whose strongest point is on the actor or at most 7 of 112 pixels away, energy the share
of the heat on the actor; means over windows with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from einops import rearrange

from vidcam.cam.capture import captured
from vidcam.cam.methods import METHODS
from vidcam.metrics.overlap import energy_inside
from vidcam.metrics.pointing import frame_hits
from vidcam.models.registry import load_model
from vidcam.playground.actions import NOTHING
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.scene import Scene, trimmed_scene

LAYERS = ("embed", "blocks.0.norm1", "blocks.1.norm1", "blocks.2.norm1")
NAMES = ("hirescam", "layercam", "gradcam++", "gradcam")
SIDE, TOLERANCE = 112, 7  # pixels


def rendered(scene: Scene) -> tuple[torch.Tensor, np.ndarray]:
    """A scene's window (1, 3, T, 112, 112) and the mask of its actor (T, 112, 112)."""
    frames, masks = [], []
    for t in range(scene.frames):
        ids = np.zeros((SIDE, SIDE), np.uint8)
        frames.append(scene.render(t, SIDE, ids))
        masks.append(ids == scene.acts[0].figure + 1)
    pixels = rearrange(torch.from_numpy(np.stack(frames)), "t h w c -> 1 c t h w")
    return PREPROCESS.normalized(pixels), np.stack(masks)


def interval(values: list[float]) -> str:
    """The mean and its 95 % bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.array(values)[drawn].mean(1), [2.5, 97.5])
    return f"{np.mean(values):.3f} ({low:.3f}–{high:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=32)
    parser.add_argument("--count", type=int, default=100)
    given = parser.parse_args()
    model = load_model("playground-tubelet")
    figures: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    index = left = 0
    while left < given.count:
        scene = trimmed_scene(given.seed, index)
        index += 1
        if scene.label == NOTHING:
            continue
        left += 1
        window, mask = rendered(scene)
        with captured(model.network, LAYERS, window, layout=model.spec.layout) as capture:
            gradients = capture.gradients(capture.output[:, model.labels.index(scene.label)])
        for layer in LAYERS:
            for name in NAMES:
                heat = METHODS[name](activation=capture.activations[layer], gradient=gradients[layer])
                full = torch.nn.functional.interpolate(heat[None], mask.shape, mode="trilinear")[0, 0].numpy()
                hits, energy = figures.setdefault((layer, name), ([], []))
                hits.append(float(frame_hits(full, mask, TOLERANCE).mean()))
                energy.append(energy_inside(full, mask) or 0.0)
    print("| layer | method | pointing, 7 px | energy inside |\n|---|---|---|---|")
    for (layer, name), (hits, energy) in figures.items():
        print(f"| {layer} | {name} | {interval(hits)} | {interval(energy)} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
