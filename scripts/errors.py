"""What a bundled network gets wrong on hard clips, over several seeds: the table of docs/tasks.md.

    python scripts/errors.py playground-r2plus1d --out runs/errors

The same as `vidcam errors` for each seed, without films. Interrupted, it goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vidcam.evaluation.inference import Subject
from vidcam.evaluation.misclassifications import Misclassifications, errors_of
from vidcam.evaluation.run import measure_clips
from vidcam.evaluation.samples import sources
from vidcam.explainer import Explainer
from vidcam.export.misclassifications import summarize
from vidcam.metrics.estimate import between_seeds
from vidcam.playground.scene import hard_scene
from vidcam.recipe import Recipe


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True, help="Directory of the records.")
    parser.add_argument("--method", default="gradcam++")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60, help="Clips of each seed.")
    given = parser.parse_args()
    explainer = Explainer(given.model, Recipe(method=given.method))
    measure = Misclassifications(Subject.of(explainer))
    by_seed = []
    for seed in range(8001, 8001 + given.seeds):
        settings = {"model": given.model, "method": given.method, "seed": seed}
        clips = sources("playground", seed, given.count, hard_scene)
        records = measure_clips(
            measure, explainer.model.spec.preprocess, clips, settings, given.out / f"{given.method}-{seed}"
        )
        by_seed.append(summarize(errors_of(records), len(records)))
    for name in by_seed[0]:
        print(f"| {name} | {between_seeds([found[name] for found in by_seed])} |")


if __name__ == "__main__":
    main()
