"""Does Grad-CAM++ cover all who act where Grad-CAM covers one? The table of docs/tasks.md, over several seeds.

    python scripts/crowd.py playground-r2plus1d --out runs/crowd-r2plus1d

Every seed renders clips in which one, two or three of three figures perform the same action. Interrupted, it goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vidcam.evaluation.inference import Subject
from vidcam.evaluation.multi_actor import THRESHOLDS, MultiActor, video_maps
from vidcam.evaluation.run import Record, measure_clips, summarize
from vidcam.evaluation.samples import sources
from vidcam.explainer import Explainer
from vidcam.metrics.estimate import between_seeds
from vidcam.playground.scene import crowd_scene
from vidcam.recipe import Recipe
from vidcam.temporal.tubes import TubeParams

LEVELS = [*(f"{t:g}" for t in THRESHOLDS), "same_area"]
METHODS = ["gradcam++", "gradcam", "layercam"]


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True, help="Directory of the records.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60, help="Clips of each seed.")
    given = parser.parse_args()
    explainer = Explainer(given.model, Recipe(method=",".join(METHODS)))
    measure = MultiActor(Subject.of(explainer), TubeParams())
    by_seed: list[list[Record]] = []
    for seed in range(7001, 7001 + given.seeds):
        settings = {"model": given.model, "methods": METHODS, "seed": seed}
        clips = sources("playground", seed, given.count, crowd_scene)
        records = measure_clips(measure, explainer.model.spec.preprocess, clips, settings, given.out / str(seed))
        by_seed.append([r for r in records if "figures" in r])
    print("mean over seeds ± deviation between seeds")
    print("| | " + " | ".join(METHODS) + " |")
    for name in [f"found_{t}_of_{n}" for t in LEVELS for n in (1, 2, 3)] + [
        "best_box_iou",
        "loc_0.25",
        "loc_0.5",
    ]:
        rows = [[summarize(records, {}, METHODS).methods[m][name].mean for m in METHODS] for records in by_seed]
        print(f"| {name} | " + " | ".join(between_seeds(column) for column in np.array(rows).T) + " |")
    for threshold in (0.2, 0.5):
        rows = [[video_maps(records, m, [threshold])[0] for m in METHODS] for records in by_seed]
        print(f"| video-mAP@{threshold:g} | " + " | ".join(between_seeds(column) for column in np.array(rows).T) + " |")


if __name__ == "__main__":
    main()
