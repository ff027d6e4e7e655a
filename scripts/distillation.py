"""Does a student that is taught where its teacher looks learn better? The table of docs/tasks.md.

    python scripts/distillation.py --out runs/distillation

The teacher is the bundled R(2+1)D, the student the same network a quarter as wide, on frames of half the side; it has few
clips to learn from. Four students for each seed: alone, with soft labels, with the interpretation loss of Chattopadhyay
et al. 2018 (arXiv 1710.11063, section 6), and with both. What is done is kept in results.jsonl; run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from vidcam.engine.memory import keep_freed_memory
from vidcam.metrics.estimate import between_seeds
from vidcam.models.registry import load_model
from vidcam.playground.actions import LABELS
from vidcam.playground.domain import PREPROCESS
from vidcam.playground.networks import SmallR2Plus1D
from vidcam.playground.training.classifier import TrainingWindows, start_from_motion
from vidcam.playground.training.distill import DistillationLoss, interpretation, network_output

ARMS = {
    "alone": (False, False),
    "soft labels": (False, True),
    "interpretation": (True, False),
    "both": (True, True),
}
UNSEEN = 1_000_000  # the bundled networks were trained on windows before this one
TEST = 2_000_000
BATCH = 20


def main() -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=400, help="That a student learns from.")
    parser.add_argument("--tested", type=int, default=1000, help="Fresh clips it is measured on.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument(
        "--alpha", type=float, default=0.01, help="Weight of the interpretation, the paper's by default."
    )
    given = parser.parse_args()
    keep_freed_memory()
    given.out.mkdir(parents=True, exist_ok=True)
    results = given.out / "results.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    learned, tested = (
        taught(given.out / "learned.pt", UNSEEN, given.clips),
        taught(given.out / "tested.pt", TEST, given.tested),
    )
    print(f"teacher: {accuracy_of(tested['scores'], tested['target']):.4f} on {given.tested} fresh clips", flush=True)
    for seed in range(given.seeds):
        for arm, (looks, softly) in ARMS.items():
            alpha = given.alpha if looks else 0.0
            key = {"seed": seed, "arm": arm, "clips": given.clips, "epochs": given.epochs, "alpha": alpha}
            if any(key.items() <= row.items() for row in done):
                continue
            loss = DistillationLoss(alpha=alpha, beta=1.0 if softly else 0.0)
            student = trained(loss, learned, seed, given.epochs)
            row = {**key, **measured(student, tested)}
            done.append(row)
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    table(done, given.clips, given.epochs, given.alpha)


def taught(cache: Path, first: int, count: int) -> dict[str, Tensor]:
    """Windows as a student sees them, their labels, and what the teacher made of them: scores, and maps of the label."""
    if cache.exists():
        return torch.load(cache, weights_only=True)
    teacher = load_model("playground-r2plus1d").network.requires_grad_(False)
    rows: dict[str, list[Tensor]] = {"windows": [], "target": [], "scores": [], "maps": []}
    windows = TrainingWindows(first, count)
    for index in range(count):
        frames, target = windows[index]
        given = PREPROCESS.normalized(frames[None])
        label = torch.tensor([target])
        looked = network_output(teacher, "layer3", given)
        rows["maps"].append(interpretation(looked, label))
        rows["scores"].append(looked.scores.detach())
        rows["windows"].append(nn.functional.avg_pool3d(given, (1, 2, 2)).bfloat16())
        rows["target"].append(label)
    found = {name: torch.cat(parts) for name, parts in rows.items()}
    torch.save(found, cache)
    return found


def trained(loss: DistillationLoss, learned: dict[str, Tensor], seed: int, epochs: int) -> nn.Module:
    """A student after so many epochs; half of the windows are mirrored, with their maps."""
    torch.manual_seed(seed)
    student = SmallR2Plus1D(len(LABELS), (8, 12, 16, 24, 32))
    start_from_motion(student.temporal_stem)
    student = student.to(memory_format=torch.channels_last_3d)
    steps = epochs * (len(learned["target"]) // BATCH)
    optimizer = torch.optim.AdamW(student.parameters(), 5e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps, pct_start=0.15)
    student.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(learned["target"]))[: steps // epochs * BATCH].split(BATCH):
            windows, maps = learned["windows"][chosen].float(), learned["maps"][chosen]
            mirrored = torch.rand(len(chosen)) < 0.5
            windows = torch.where(mirrored.view(-1, 1, 1, 1, 1), windows.flip(4), windows)
            maps = torch.where(mirrored.view(-1, 1, 1, 1), maps.flip(3), maps)
            looked = network_output(student, "layer3", windows.contiguous(memory_format=torch.channels_last_3d))
            value = loss.from_maps(looked, learned["scores"][chosen], maps, learned["target"][chosen])
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 5.0, error_if_nonfinite=True)
            optimizer.step()
            schedule.step()
    return student.eval()


def measured(student: nn.Module, tested: dict[str, Tensor]) -> dict[str, float]:
    """Accuracy on fresh clips, and the mean correlation of the student's maps with the teacher's."""
    scores, alike = [], []
    for windows, target, maps in zip(*(tested[name].split(50) for name in ("windows", "target", "maps"))):
        looked = network_output(student, "layer3", windows.float().contiguous(memory_format=torch.channels_last_3d))
        own = interpretation(looked, target)
        scores.append(looked.scores.detach())
        resized = nn.functional.interpolate(maps[:, None], own.shape[1:], mode="trilinear")[:, 0]
        alike += [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(own.flatten(1), resized.flatten(1))]
    correlation = torch.stack(alike).nan_to_num().mean()
    return {"accuracy": accuracy_of(torch.cat(scores), tested["target"]), "correlation": float(correlation)}


def accuracy_of(scores: Tensor, target: Tensor) -> float:
    """Share of windows whose highest score is that of their label."""
    return float((scores.argmax(1) == target).float().mean())


def table(rows: list[dict[str, object]], clips: int, epochs: int, alpha: float) -> None:
    """Means and deviations over the seeds, and each arm's gain over the student alone of the same seed."""
    print("| student | accuracy | gain over alone | correlation of maps with the teacher's |")
    for arm, (looks, _) in ARMS.items():
        wanted = {"arm": arm, "clips": clips, "epochs": epochs, "alpha": alpha if looks else 0.0}
        own = {r["seed"]: r for r in rows if wanted.items() <= r.items()}
        bare = {r["seed"]: r for r in rows if {**wanted, "arm": "alone", "alpha": 0.0}.items() <= r.items()}
        gains = [own[s]["accuracy"] - bare[s]["accuracy"] for s in own if s in bare]
        cells = [[r["accuracy"] for r in own.values()], gains, [r["correlation"] for r in own.values()]]
        print(f"| {arm} | " + " | ".join(between_seeds(c, 4) for c in cells) + " |")


if __name__ == "__main__":
    main()
