"""Write docs/models.md: every network at its published window, with random weights, what its default layer gives.

    python scripts/model_table.py [NAME...]

The oracle compares alpha of Grad-CAM++ in closed form with the true second and third derivatives of exp(S) by
autograd, in float64, at some positions of each default layer. Time is that of a map with its forward pass over that of
the forward pass alone, in turns: median, and the range of all turns.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from statistics import median

import torch
from rich.progress import track
from torch import Tensor

from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.inputs import forward
from vidcam.cam.methods import gradcam_plus_plus_alpha
from vidcam.cam.targets import class_scores
from vidcam.engine.memory import keep_freed_memory
from vidcam.models.registry import Model, load_model, model_names

IMAGES = ("resnet50", "vgg16", "convnext_tiny", "swin_t")
POSITIONS, TURNS = 6, 5
# attention and a layer norm, or a recurrent unit, behind the default layer
NOT_PIECEWISE_LINEAR = ("mvit", "convnext", "playground-tubelet", "playground-gru")

HEAD = """# Models

Written by `python scripts/model_table.py`; one window of the published size, random weights, {threads} threads.

- *map*: time x height x width of the default layer's map, before interpolation.
- *oracle*: largest relative difference between alpha in closed form and by autograd's derivatives of exp(S), in
  float64, at {positions} positions of each layer; a dash where the head is not piecewise linear and the closed form
  is only the method's definition.
- *time*: forward pass and map over the forward pass alone, median and range of {turns} turns. Where the range is wide, other
  work ran on the machine: such a line says nothing, least of all for networks whose forward pass takes milliseconds.

| model | input | default layer | map | oracle | time |
|---|---|---|---|---|---|
"""


def _score(output: object) -> Tensor:
    return class_scores(output)[:, 3]


def _window(model: Model) -> Tensor:
    spec = model.spec
    return torch.randn(1, 3, spec.frames, *spec.preprocess.crop, generator=torch.Generator().manual_seed(0))


def oracle(model: Model, layers: list[str]) -> float:
    """The largest relative error of alpha over some positions of the layers. Makes the network float64."""
    spec, worst = model.spec, 0.0
    network, window = model.network.double(), _window(model).double()
    for layer in layers:
        with captured(network, [layer], window, layout=spec.layout, pack=spec.pack) as capture:
            score = _score(capture.output)[0]
            ((leaf, fold),) = capture._kept[layer]
            gradient = capture.gradients(score[None])[layer]
            alpha = gradcam_plus_plus_alpha(capture.activations[layer].clamp(min=0), gradient)
            sums = fold(leaf.detach()).clamp(min=0).sum((2, 3, 4))
            (first,) = torch.autograd.grad(torch.exp(score - score.detach()), leaf, create_graph=True)
            folded = fold(first)
            ahead = (gradient > 0).nonzero()
            for place in ahead[torch.linspace(0, len(ahead) - 1, POSITIONS).long()]:
                at = tuple(place.tolist())
                (second,) = torch.autograd.grad(folded[at], leaf, create_graph=True)
                (third,) = torch.autograd.grad(fold(second)[at], leaf, retain_graph=True)
                d2, d3 = fold(second)[at].item(), fold(third)[at].item()
                true = d2 / (2 * d2 + sums[at[0], at[1]].item() * d3)
                worst = max(worst, abs(alpha[at].item() - true) / abs(true))
    return worst


def ratios(model: Model, layers: list[str]) -> list[float]:
    """Time of forward pass and map over that of the forward pass, turn by turn."""
    spec, window, found = model.spec, _window(model), []
    for turn in range(TURNS + 1):
        began = time.perf_counter()
        with torch.inference_mode():
            forward(model.network, spec.pack(window))
        between = time.perf_counter()
        with captured(model.network, layers, window, layout=spec.layout, pack=spec.pack) as capture:
            class_activation_maps(capture, _score, ["gradcam++"])
        if turn:
            found.append((time.perf_counter() - between) / (between - began))
    return found


def row(name: str) -> str:
    """The line of one network."""
    model = load_model(name, "none")
    layers = model.spec.layer.split(",")
    window = _window(model)
    with captured(model.network, layers, window, layout=model.spec.layout, pack=model.spec.pack) as capture:
        maps = class_activation_maps(capture, _score, ["gradcam++"])
    for heat in maps.values():
        assert torch.isfinite(heat).all() and heat.std() > 0, name
    shapes = " and ".join("x".join(map(str, heat.shape[1:])) for heat in maps.values())
    times = ratios(model, layers)
    error = "—" if name.startswith(NOT_PIECEWISE_LINEAR) else f"{oracle(model, layers):.0e}"
    entry = "x".join(map(str, window.shape[2:]))
    spread = f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
    return f"| {name} | {entry} | {', '.join(f'`{layer}`' for layer in layers)} | {shapes} | {error} | {spread} |\n"


def main() -> None:
    """Write the table, or print the lines of the networks that are named."""
    if names := sys.argv[1:]:
        print("".join(row(name) for name in names), end="")
        return
    keep_freed_memory()
    lines = []
    for name in track([*model_names(), *IMAGES]):
        lines.append(row(name))
        gc.collect()
    head = HEAD.format(threads=torch.get_num_threads(), positions=POSITIONS, turns=TURNS)
    Path(__file__).parents[1].joinpath("docs", "models.md").write_text(head + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
