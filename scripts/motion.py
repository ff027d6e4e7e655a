"""Measure definitions of the motion share and of the motion map on networks whose share is known.

    python scripts/motion.py --networks flaws --seed 24101 --count 100

Prints for each network the share by each definition, and for clips with two causes the share of each motion map on what
moves, as means over fresh clips with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vidcam.evaluation.flaws import heat_on
from vidcam.evaluation.inference import confidences, pixels
from vidcam.explainer import Explainer
from vidcam.metrics.estimate import estimate
from vidcam.models.registry import Model
from vidcam.playground.canvas import FRAMES
from vidcam.playground.flaws import FLAWS, FlawedClip, render
from vidcam.playground.training.flawed import REACH, flawed_model
from vidcam.recipe import Recipe

CONTROLS = ("colour", "direction", "hue-direction")
TINY = 1e-30


def shares(model: Model, clip: FlawedClip, index: int) -> dict[str, float]:
    """Return the motion share of a clip of one window by each definition, cut to [0, 1]."""
    frames, classes = clip.frames, len(model.labels)
    order = np.random.default_rng(index).permutation(FRAMES)
    changed = {
        "bits, frozen": frames[[FRAMES // 2] * FRAMES],
        "bits, reversed": frames[::-1],
        "bits, shuffled": frames[order],
    }
    p = float(confidences(model, pixels(frames)[None])[0, clip.label])
    found = {}
    for name, other in changed.items():
        q = float(confidences(model, pixels(other)[None])[0, clip.label])
        found[name] = np.log(max(p, TINY) / max(q, TINY)) / np.log(p * classes)
        if name == "bits, frozen":
            found["probability, frozen"] = (p - q) / (p - 1 / classes)
    return {name: float(np.clip(share, 0, 1)) for name, share in found.items()}


def motion_maps(explainer: Explainer, model: Model, clip: FlawedClip) -> dict[str, float]:
    """Return the share of each kind of map on the disc, the only element that moves."""
    still = clip.frames[[FRAMES // 2] * FRAMES]
    whole, frozen = (explainer.maps(pixels(of)[None], clip.label)["gradcam++"][0] for of in (clip.frames, still))
    p, q = (float(confidences(model, pixels(of)[None])[0, clip.label]) for of in (clip.frames, still))
    maps = {
        "L": whole,
        "relu(L - L_frozen)": np.maximum(whole - frozen, 0),
        "relu(p L - p_frozen L_frozen)": np.maximum(p * whole - q * frozen, 0),
    }
    return {name: heat_on(heat, clip.elements["disc"], REACH) for name, heat in maps.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=24101)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--trained", type=int, default=2)
    given = parser.parse_args()
    for name in CONTROLS:
        for of in range(1, given.trained + 1):
            model = flawed_model(name, of, given.networks)
            clips = [render(name, given.seed, index) for index in range(given.count)]
            rows = [shares(model, clip, index) for index, clip in enumerate(clips)]
            print(f"{model.spec.name}, share by construction {FLAWS[name].motion_share:.3f}")
            _print(rows)
            if len(FLAWS[name].cause) > 1:
                explainer = Explainer(model, Recipe(method="gradcam++", dtype="float32"))
                _print([motion_maps(explainer, model, clip) for clip in clips])


def _print(rows: list[dict[str, float]]) -> None:
    for name in rows[0]:
        e = estimate(row[name] for row in rows)
        print(f"  {name:<30} {e.mean:.3f} ({e.low:.3f} to {e.high:.3f})", flush=True)


if __name__ == "__main__":
    main()
