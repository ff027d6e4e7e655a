"""What docs/findings.md says beside the tables of `vidcam evaluate`.

    python scripts/findings.py MODEL [--faithfulness DIR] [--localization DIR] [--seed S] [--count N]

From records that `vidcam evaluate ... --out DIR` has kept: the differences of two methods, each clip compared with
itself. From fresh clips: how far alpha is from constant within a channel, and how alike Grad-CAM++ is to Grad-CAM of
the positive gradients (Grad-CAM+), on the most confident window.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from vidcam.cam.capture import captured
from vidcam.cam.methods import gradcam_plus, gradcam_plus_plus, gradcam_plus_plus_alpha
from vidcam.cam.targets import class_scores
from vidcam.engine.loader import network_input
from vidcam.evaluation.inference import Subject, predict
from vidcam.evaluation.run import differences
from vidcam.evaluation.samples import sources
from vidcam.explainer import Explainer
from vidcam.metrics.estimate import Tally
from vidcam.metrics.sanity import rank_correlation
from vidcam.models.registry import Model, load_model
from vidcam.recipe import Recipe


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    for family in ("faithfulness", "localization"):
        parser.add_argument(f"--{family}", type=Path, help="directory of its records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    for folder in (options.faithfulness, options.localization):
        if folder is not None:
            lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
            print(f"gradcam++ - gradcam, {len(lines)} clips of {folder.name}")
            for name, e in differences([json.loads(line) for line in lines], "gradcam++", "gradcam"):
                print(f"  {name:<28} {e.mean:9.4f}  [{e.low:.4f}, {e.high:.4f}]")
    model = load_model(options.model)
    subject = Subject.of(Explainer(model, Recipe(dtype="float32")))
    tally = Tally()
    for source in track(sources("playground", options.seed, options.count), "clips", transient=True):
        sample = source.read(model.spec.preprocess)
        clip = predict(subject.exact, sample)
        tally.update(alpha_figures(model, clip.window, clip.predicted))
    print(f"alpha of {model.spec.name} at {model.spec.layer}, {options.count} clips of seed {options.seed}")
    for name, e in tally.compute().items():
        print(f"  {name:<44} {e.mean:7.4f}  [{e.low:.4f}, {e.high:.4f}]")


def alpha_figures(model: Model, frames: np.ndarray, target: int) -> dict[str, float]:
    """Of one window (T, H, W, 3): the spread of alpha, and the likeness of the two maps."""
    layer = model.spec.layer
    with captured(model.network, [layer], network_input(model, [list(frames)])) as capture:
        (gradient,) = capture.gradients(class_scores(capture.output)[:, target]).values()
        activation = capture.activations[layer].clamp(min=0)
    alpha = gradcam_plus_plus_alpha(activation, gradient)[0].flatten(1)
    positive = gradient[0].flatten(1) > 0
    spread, sides = [], []
    for of_channel, used in zip(alpha, positive):
        if used.any():
            values = of_channel[used]
            spread.append(float(values.std(correction=0) / values.mean()))
            sides.append(float(used.float().mean()))
    spreads = np.array(spread)
    plus, plus_plus = (method(activation, gradient)[0].numpy() for method in (gradcam_plus, gradcam_plus_plus))
    return {
        "channels with a positive gradient somewhere": len(spread) / len(alpha),
        "of these, positions with a positive one": float(np.mean(sides)),
        "relative deviation of alpha there, median": float(np.median(spreads)),
        "channels where it is below 1 %": float((spreads < 0.01).mean()),
        "channels where it is below 10 %": float((spreads < 0.1).mean()),
        "rank correlation, Grad-CAM++ and Grad-CAM+": rank_correlation(plus, plus_plus),
        "largest difference of the two, scaled to 1": float(
            np.abs(plus / (plus.max() or 1) - plus_plus / (plus_plus.max() or 1)).max()
        ),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
