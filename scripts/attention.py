"""Which method explains a transformer? The table of docs/findings.md.

    python scripts/attention.py --seed 8201 --count 48

Grad-CAM and Grad-CAM++ at two layers and AttnLRP stand beside methods that read the weights of the attention and are not in
vidcam: LeGrad, rollout and the class token's weights. Each clip is explained for its true class, window by window, times the
window's probability. The sanity checks are on the window with the highest confidence: all weights random, another class.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.targets import classes
from vidcam.engine.loader import normalised
from vidcam.evaluation.inference import Subject, confidences, pixels, upsampled
from vidcam.evaluation.pointing import localization_measures
from vidcam.evaluation.samples import Sample, sources
from vidcam.explainer import Explainer
from vidcam.metrics.estimate import estimate
from vidcam.metrics.sanity import cascading_randomisation, rank_correlation
from vidcam.models.registry import Model, load_model
from vidcam.recipe import Recipe
from vidcam.temporal.stitch import stitch
from vidcam.video.windows import sliding_windows

MODEL, TOKENS, LAST = "playground-tubelet", "embed", "blocks.2.norm1"
MEASURES = ["pointing_game", "pointing_game_clip", "energy_inside", "energy_while_acting", "time_auc", "saliency_iou"]
Maps = dict[str, Tensor]


def main() -> None:
    """Measure the clips one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    subject = Subject.of(Explainer(load_model(MODEL), Recipe(dtype="float32")))
    found: dict[str, dict[str, list[float]]] = {}
    for source in sources("playground", given.seed, given.count):
        sample = source.read(subject.preprocess)
        if sample.mask is None or not sample.mask.any():
            continue
        for method, figures in measured(subject, sample).items():
            for name, value in figures.items():
                found.setdefault(method, {}).setdefault(name, []).append(value)
        print(".", end="", flush=True)
    columns = [*MEASURES, "random_weights", "other_class"]
    clips = len(next(iter(found.values()))[MEASURES[0]])
    print(
        f"\n{clips} clips of seed {given.seed} with an action\n| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}"
    )
    for method, figures in found.items():
        cells = [estimate(figures[name]) for name in columns]
        print(f"| {method} | " + " | ".join(f"{e.mean:.3f} ({e.low:.3f} to {e.high:.3f})" for e in cells) + " |")


def measured(subject: Subject, sample: Sample) -> dict[str, dict[str, float]]:
    """Return the figures of each method on a clip."""
    assert sample.mask is not None
    model, target = subject.exact.model, subject.labels.index(sample.label or "")
    windowing = subject.exact.windowing(float(sample.source.frame_rate))
    cut = list(sliding_windows(sample.frames, windowing))
    clips = torch.stack([pixels(np.stack(window.frames)) for window in cut])
    shares = confidences(model, clips)
    starts, best = [window.start for window in cut], int(shares.max(1).argmax())
    figures: dict[str, dict[str, float]] = {}
    for method, maps in maps_of(model, clips, target).items():
        heat = stitch(maps.numpy() * shares[:, target, None, None, None], starts, len(sample.frames), windowing)
        of_clip = localization_measures(upsampled(heat, *sample.mask.shape[1:]).numpy(), sample.mask)
        figures[method] = {name: float(value) for name in MEASURES if (value := of_clip[name]) is not None}
    window, (predicted, other) = clips[best : best + 1], np.argsort(-shares[best])[:2].tolist()
    *_, (_, network) = cascading_randomisation(model.network, seed=0)
    random = Model(network, model.spec, model.labels, "none")
    plain, changed, others = (
        maps_of(model, window, predicted),
        maps_of(random, window, predicted),
        maps_of(model, window, other),
    )
    for method, of_window in plain.items():
        figures[method] |= {
            "random_weights": rank_correlation(of_window.numpy(), changed[method].numpy()),
            "other_class": rank_correlation(of_window.numpy(), others[method].numpy()),
        }
    return figures


def maps_of(model: Model, clips: Tensor, target: int) -> Maps:
    """Return the maps of a class, (N, t, h, w), of windows of pixels (N, 3, T, H, W), by each method."""
    windows, found = normalised(model, clips), {}
    score = classes(torch.full((len(windows),), target))
    with captured(model.network, [TOKENS, LAST], windows, layout=model.spec.layout) as capture:
        for (method, layer), heat in class_activation_maps(capture, score, ["gradcam", "gradcam++", "attnlrp"]).items():
            found[f"{method}, {layer}"] = heat.cpu()
    return found | attention_maps(model, windows, score)


def attention_maps(model: Model, windows: Tensor, score: Callable[[Any], Tensor]) -> Maps:
    """Return the maps by the methods that read the weights A of the attention, (N, heads, queries, keys) in each block.

    LeGrad (arXiv 2404.03214, section 3): the mean over blocks, heads and queries of relu(ds/dA), s the score that the head
    reads from the block's own class token; and the same with the score of the last block. Rollout (Abnar and Zuidema 2020,
    arXiv 2005.00928): the class token's row of the product of (mean of A over heads + 1) / 2 over the blocks. Class token:
    its row in the last block, the mean over heads.
    """
    network: Any = model.network
    grid = dict(zip("thw", model.spec.layout.grid or ()))
    with observed(network) as (weights, tokens):
        output = network(windows)

    def slopes(scores: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
        gradients = torch.autograd.grad(scores.sum(), of, retain_graph=True)
        return [gradient.clamp(min=0).mean((1, 2)) for gradient in gradients]

    of_blocks = [slopes(score(network.head(network.norm(z[:, 0]))), [a])[0] for z, a in zip(tokens, weights)]
    mixed = [(a.detach().mean(1) + torch.eye(a.shape[-1])) / 2 for a in weights]
    rows = {
        "LeGrad": from_zero(torch.stack(of_blocks).mean(0)),
        "LeGrad of the last score": from_zero(torch.stack(slopes(score(output), weights)).mean(0)),
        "rollout": reduce(lambda below, above: above @ below, mixed)[:, 0],
        "class token": weights[-1].detach().mean(1)[:, 0],
    }
    return {name: rearrange(row[:, 1:], "n (t h w) -> n t h w", **grid) for name, row in rows.items()}


def from_zero(row: Tensor) -> Tensor:
    """Return the values of tokens, (N, 1 + L), less the smallest of each window, which the paper scales to 0."""
    return row - row[:, 1:].amin(1, keepdim=True)


@contextmanager
def observed(network: nn.Module) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Yield the lists of the weights of the attention and of the tokens of all blocks of a pass, with their graph."""
    weights: list[Tensor] = []
    tokens: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        weights.append(output if output.requires_grad else output.detach().requires_grad_())
        return weights[-1]

    constant = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with ExitStack() as restored:
        for parameter in constant:
            restored.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for block in network.blocks.children():  # type: ignore[union-attr]
            restored.callback(block.attn.softmax.register_forward_hook(keep).remove)
            restored.callback(
                block.register_forward_hook(lambda _module, _inputs, output: tokens.append(output)).remove
            )
        yield weights, tokens


if __name__ == "__main__":
    main()
