"""Share of explanations that pass `--check` where it applies, with the networks as they are and with random last layers.

    python scripts/checks.py --count 100 --seed 8800

A map of a network that knows something should pass; one of a network whose last layer is random should not.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vidcam.evaluation.samples import render_clips
from vidcam.explainer import Explainer
from vidcam.metrics.estimate import Tally
from vidcam.models.registry import Model, load_model
from vidcam.playground.scene import untrimmed_scene
from vidcam.recipe import Recipe

NETWORKS = ("playground-r2plus1d", "playground-c3d")


def random_head(model: Model, seed: int) -> Model:
    """Return a copy of a model whose last layer has new random weights."""
    network = copy.deepcopy(model.network)
    (*_, last) = (module for module in network.modules() if isinstance(module, nn.Linear))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        last.reset_parameters()
    return replace(model, network=network)


def main() -> None:
    """Print a line of JSON for each network and head: mean, interval and clips of each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=8800)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = sorted(render_clips(untrimmed_scene, options.seed, options.count, Path(folder)).glob("*.mp4"))
        for name in NETWORKS:
            for head in ("trained", "random"):
                model = load_model(name)
                tally = Tally()
                for index, clip in enumerate(clips):
                    of = model if head == "trained" else random_head(model, index)
                    (explanation,) = Explainer(of, Recipe(check=True)).explain(clip)
                    check = explanation.check
                    assert check is not None
                    applies = not check.untested
                    figures = {
                        "passed": float(check.passed),
                        "applies": float(applies),
                        "score": check.score,
                        "cost": check.cost,
                    }
                    figures["random_cost"] = float(check.random_costs.mean())
                    tally.update({**figures, "passed_where_it_applies": float(check.passed) if applies else None})
                found = {
                    key: [*(round(v, 3) for v in (e.mean, e.low, e.high)), e.count]
                    for key, e in tally.compute().items()
                }
                print(json.dumps({"network": name, "head": head, "clips": len(clips), **found}), flush=True)


if __name__ == "__main__":
    main()
