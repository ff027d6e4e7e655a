"""Where do methods at the input put their heat, and what do they cost? The table of docs/findings.md, one window a clip.

    python scripts/input_methods.py --seed 991 --count 20

Interrupted (Ctrl-C), it prints the table of the clips that are done.

Every clip is an untrimmed scene with an action, and its window the one in the middle of the action. Energy is the share of the
heat on the actor over the actor's share of the window; pointing is 1 if the hottest pixel is on the actor or within a
sixteenth of the frame. Seconds are of processor time for a window.
"""

from __future__ import annotations

import argparse
import time
from itertools import count
from typing import Any

import numpy as np

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
from vidcam.playground.scene import FPS, Scene, untrimmed_scene
from vidcam.recipe import Recipe

ROWS: dict[str, dict[str, Any]] = {
    "gradcam++": {"method": "gradcam++"},
    "gradcam": {"method": "gradcam"},
    "rise": {"method": "rise"},
    "occlusion": {"method": "occlusion", "passes": 65},
    "occlusion, neighbour": {"method": "occlusion", "passes": 65, "absent": "neighbour"},
    "integrated-gradients": {"method": "integrated-gradients"},
    "smoothgrad": {"method": "smoothgrad", "passes": 25},
    "extremal": {"method": "extremal"},
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
    found: list[dict[str, list[float]]] = []
    try:
        for index in count():
            scene = untrimmed_scene(given.seed, index)
            if scene.label != NOTHING:
                found.append(measured(scene, subject))
                print(index, *(f"{name} {row[0]:.2f}" for name, row in found[-1].items()), flush=True)
            if len(found) == given.count:
                break
    except KeyboardInterrupt:
        pass
    print(f"\n{given.model}, {len(found)} clips of seed {given.seed}\n")
    print("| | energy | pointing | passes | seconds | converged |\n|---|--:|--:|--:|--:|--:|")
    for name in found[0]:
        rows = [clip[name] for clip in found]
        energy, hit = (estimate(row[i] for row in rows) for i in (0, 1))
        seconds, converged = np.median([row[2] for row in rows]), np.mean([row[4] for row in rows])
        print(
            f"| {name} | {energy.mean:.2f} ({energy.low:.2f}–{energy.high:.2f}) | {hit.mean:.2f} ({hit.low:.2f}–{hit.high:.2f}) "
            f"| {rows[0][3]:.0f} | {seconds:.2f} | {'' if np.isnan(converged) else f'{converged:.3f}'} |"
        )


def measured(scene: Scene, subject: Subject) -> dict[str, list[float]]:
    """Return energy, pointing, seconds, passes and convergence of each method in the middle window of a scene's action."""
    model = subject.exact.model
    frames, figures = rendered(scene, subject)
    (act,) = scene.acts
    windowing = subject.exact.windowing(float(FPS))
    start = min(max(0, (act.start + act.end - windowing.span) // 2), len(frames) - windowing.span)
    chosen = start + np.arange(windowing.length) * windowing.sampling_rate
    frames, mask = frames[chosen], figures[chosen] == act.figure + 1
    batch = Batch([0], normalised(model, pixels(frames)[None]))
    target, area, near = subject.labels.index(scene.label), float(mask.mean()), TOLERANCE * min(mask.shape[1:])

    def where(heat: np.ndarray) -> list[float]:
        return [energy_inside(heat, mask) / area, clip_hit(heat, mask, near)]

    found = {}
    for name, settings in ROWS.items():
        explainer = Explainer(model, Recipe(dtype="float32", **settings))
        attributor = Attributor(model, explainer.layers, explainer.methods, explainer.recipe.input_params)
        began = time.process_time()
        (maps,) = attributor.maps(batch, lambda p: [[target]]).maps
        seconds = time.process_time() - began
        (heat,) = maps[target].heat.values()
        converged = next(iter(maps[target].converged.values()), np.nan)
        height, width = frames.shape[1:3]
        fine = upsampled(heat, height, width, len(frames)).numpy()
        found[name] = [*where(fine), seconds, next(iter(attributor.passes.values()), 1), converged]
    found["motion"] = [*where(motion(frames)), 0, 0, np.nan]
    return found


if __name__ == "__main__":
    main()
