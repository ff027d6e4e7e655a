"""Where do methods at the input put their heat, and what do they cost? The table of docs/findings.md, one window a clip.

    python scripts/input_methods.py --seed 991 --count 20

Every clip is an untrimmed scene with an action, and its window the one in the middle of the action. Energy is the share of the
heat on the actor over the actor's share of the window; pointing is 1 if the hottest pixel is on the actor or within a
sixteenth of the frame. Seconds are of processor time for a window.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from vidcam.engine.attribution import Attributor
from vidcam.engine.loader import Batch, normalised
from vidcam.evaluation.causes import rendered
from vidcam.evaluation.inference import Subject, pixels, upsampled
from vidcam.evaluation.pointing import TOLERANCE
from vidcam.explainer import Explainer
from vidcam.metrics.baselines import motion
from vidcam.metrics.estimate import estimate
from vidcam.metrics.overlap import energy_inside
from vidcam.metrics.pointing import clip_hit
from vidcam.playground.actions import NOTHING
from vidcam.playground.scene import FPS, untrimmed_scene
from vidcam.recipe import Recipe

ROWS: dict[str, dict[str, Any]] = {
    "gradcam++": {"method": "gradcam++"},
    "gradcam": {"method": "gradcam"},
    "rise": {"method": "rise"},
    "occlusion": {"method": "occlusion", "passes": 65},
    "integrated-gradients": {"method": "integrated-gradients"},
    "smoothgrad": {"method": "smoothgrad", "passes": 25},
    "shapley": {"method": "shapley", "stretches": 6},
}


def main() -> None:
    """Measure, and print a line for each clip and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="playground-r2plus1d")
    parser.add_argument("--seed", type=int, default=991)
    parser.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    subject = Subject.of(Explainer(given.model, Recipe(dtype="float32")))
    model, found, index = subject.exact.model, defaultdict[str, list[list[float]]](list), 0
    while len(found["motion"]) < given.count:
        scene = untrimmed_scene(given.seed, index)
        index += 1
        if scene.label == NOTHING:
            continue
        frames, figures = rendered(scene, subject)
        (act,) = scene.acts
        windowing = subject.exact.windowing(float(FPS))
        start = min(max(0, (act.start + act.end - windowing.span) // 2), len(frames) - windowing.span)
        chosen = start + np.arange(windowing.length) * windowing.sampling_rate
        frames, mask = frames[chosen], figures[chosen] == act.figure + 1
        batch = Batch([0], normalised(model, pixels(frames)[None]))
        near = TOLERANCE * min(mask.shape[1:])
        target, area = subject.labels.index(scene.label), float(mask.mean())
        for name, settings in ROWS.items():
            explainer = Explainer(model, Recipe(dtype="float32", **settings))
            attributor = Attributor(model, explainer.layers, explainer.methods, explainer.recipe.input_params)
            began = time.process_time()
            (maps,) = attributor.maps(batch, lambda p, target=target: [[target]]).maps
            seconds = time.process_time() - began
            one = maps[target]
            (heat,) = one.heat.values()
            fine = upsampled(heat, *frames.shape[1:3], len(frames)).numpy()
            converged = next(iter(one.converged.values()), np.nan)
            passes = next(iter(attributor.passes.values()), 1)
            energy, hit = energy_inside(fine, mask) / area, clip_hit(fine, mask, near)
            found[name].append([energy, hit, seconds, passes, converged])
        moving = motion(frames)
        found["motion"].append([energy_inside(moving, mask) / area, clip_hit(moving, mask, near), 0, 0, np.nan])
        done = len(found["motion"])
        print(done, index - 1, *(f"{name} {rows[-1][0]:.2f}" for name, rows in found.items()), flush=True)
    print(f"\n{model.spec.name}, {given.count} clips of seed {given.seed}, {torch.get_num_threads()} thread(s)\n")
    print("| | energy | pointing | passes | seconds | converged |\n|---|--:|--:|--:|--:|--:|")
    for name, rows in found.items():
        energy, hit = (estimate(row[i] for row in rows) for i in (0, 1))
        passes, converged = rows[0][3], np.mean([row[4] for row in rows])
        print(
            f"| {name} | {energy.mean:.2f} ({energy.low:.2f}–{energy.high:.2f}) | {hit.mean:.2f} ({hit.low:.2f}–{hit.high:.2f}) "
            f"| {passes:.0f} | {np.median([row[2] for row in rows]):.2f} | {'' if np.isnan(converged) else f'{converged:.3f}'} |"
        )


if __name__ == "__main__":
    main()
