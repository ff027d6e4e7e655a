"""Do the maps of a caption's words lie on what the words speak of? The table of docs/tasks.md, over several seeds.

    python scripts/captions.py --out runs/captions [--weights FILE]

Fresh described scenes; the true sentence is explained, word by word, and for each word that speaks of the figure who acts
it is measured whether its map does. Interrupted, it goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidcam.captioning import LAYER, teacher_forced_model
from vidcam.engine.attribution import Attributor
from vidcam.engine.loader import Batch, network_input
from vidcam.evaluation.inference import upsampled
from vidcam.evaluation.pointing import TOLERANCE
from vidcam.metrics.estimate import between_seeds
from vidcam.metrics.overlap import energy_inside
from vidcam.metrics.pointing import clip_hit
from vidcam.playground.captioner import Captioner, load_captioner
from vidcam.playground.captions import FRAMES, CaptionedScene, captioned_scene

METHODS = ["gradcam++", "gradcam"]
KINDS = ("size", "colour", "place", "action", "count")
SIZE = 112


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Directory of the records.")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--count", type=int, default=40, help="Scenes of each seed.")
    given = parser.parse_args()
    captioner = load_captioner(given.weights)
    by_seed = [seed_records(captioner, seed, given.count, given.out) for seed in range(9001, 9001 + given.seeds)]
    print("| | " + " | ".join([*KINDS, "whole sentence"]) + " |")
    right = [[[r["right"][k] for r in rs] for rs in by_seed] for k in (*KINDS, "sentence")]
    print("| written rightly | " + " | ".join(cell(by) for by in right) + " |")
    for method in METHODS:
        for figure in ("on_actor", "on_actor_acting", "on_another", "energy", "energy_of_others", "while_acting"):
            values = [[[r["maps"][method][k][figure] for r in rs] for rs in by_seed] for k in KINDS]
            print(f"| {method} {figure} | " + " | ".join(cell(by) for by in values) + " | |")
    for figure in ("chance", "chance_acting", "chance_another", "share_of_time"):
        print(f"| {figure} | {cell([[r[figure] for r in rs] for rs in by_seed])} |")


def seed_records(captioner: Captioner, seed: int, count: int, out: Path) -> list[dict[str, Any]]:
    """The records of a seed's scenes, those that are kept already and new ones."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / f"{seed}.jsonl"
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for index in range(len(records), count):
        records.append(record(captioner, captioned_scene(seed, index)))
        with kept.open("a") as file:
            file.write(json.dumps(records[-1]) + "\n")
    return records[:count]


def record(captioner: Captioner, described: CaptionedScene) -> dict[str, Any]:
    """What is measured of a scene."""
    frames, ids = [], np.zeros((FRAMES, SIZE, SIZE), np.uint8)
    for t in range(FRAMES):
        frames.append(described.scene.render(t, SIZE, ids[t]))
    actor, others = ids == described.act.figure + 1, (ids > 0) & (ids != described.act.figure + 1)
    acting = np.zeros((FRAMES, 1, 1), bool)
    acting[max(0, described.act.start) : described.act.end] = True
    words, about = described.words, described.about
    model = teacher_forced_model(captioner, words)
    batch = Batch([0], network_input(model, [frames]))
    (wrote,) = captioner.describe(batch.given)
    (maps,) = Attributor(model, [LAYER], METHODS).maps(batch, lambda p: [list(range(len(words)))]).maps
    found: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    right = {"sentence": float(wrote == words)}
    for kind in KINDS:
        word = about.index(kind)
        places = [i for i, k in enumerate(about) if k == kind]
        right[kind] = float([*wrote][places[0] : places[-1] + 1] == [words[i] for i in places])
        for method in METHODS:
            heat = upsampled(maps[word].heat[method, LAYER], SIZE, SIZE, FRAMES).numpy()
            found[method][kind] = {
                "on_actor": clip_hit(heat, actor, TOLERANCE * SIZE) if heat.max() > 0 else 0.0,
                "on_actor_acting": clip_hit(heat, actor & acting, TOLERANCE * SIZE) if heat.max() > 0 else 0.0,
                "on_another": clip_hit(heat, others, TOLERANCE * SIZE) if heat.max() > 0 else 0.0,
                "energy": energy_inside(heat, actor),
                "energy_of_others": energy_inside(heat, others),
                "while_acting": energy_inside(heat, np.broadcast_to(acting, heat.shape)),
            }
    even = np.ones(actor.shape)
    return {
        "right": right,
        "maps": found,
        "chance": clip_hit(even, actor, TOLERANCE * SIZE),
        "chance_acting": clip_hit(even, actor & acting, TOLERANCE * SIZE),
        "chance_another": clip_hit(even, others, TOLERANCE * SIZE),
        "share_of_time": float(acting.mean()),
    }


def cell(by_seed: list[list[float]]) -> str:
    """The mean over seeds of their means, and its deviation."""
    return between_seeds([statistics.mean(values) for values in by_seed])


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
