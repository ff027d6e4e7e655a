"""The pipeline: read → window → attribute → stitch."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from vidcam.allocator import give_back_freed_memory
from vidcam.cam.attribute import class_activation_maps
from vidcam.cam.capture import captured
from vidcam.cam.fusion import Fusion, fuse
from vidcam.cam.layers import SpaceTimeLayer, space_time_layers
from vidcam.cam.methods import method_named
from vidcam.cam.targets import Contrast, ScoreFunction, Target, class_scores, classes, target_of, top_count
from vidcam.errors import LayerError, ModelError
from vidcam.explanation import ExplainedTarget, Explanation
from vidcam.models.registry import Model, load_model
from vidcam.temporal.curves import clip_probabilities, evidence_curve
from vidcam.temporal.stitch import stitch
from vidcam.video.reader import Clip
from vidcam.video.windows import Window, Windowing, sliding_windows

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames the header announces, 0 where it does not say."""

Key = int | ScoreFunction


BATCH = 4
_GIVE_BACK_EVERY = 16  # batches; holes between small results would otherwise grow with the length of the clip


@dataclass(frozen=True)
class WindowMap:
    """What one window says about one target: (method, layer) → map (t, h, w), and the score."""

    heat: dict[tuple[str, str], np.ndarray]
    score: float


Maps = dict[Key, WindowMap]


def explain(
    clip: str | Path,
    model: str | Model | nn.Module = "playground-r2plus1d",
    target: Target = "top",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    fusion: Fusion = "mean",
    stride: int | None = None,
    sampling_rate: int | None = None,
    progress: Progress = lambda done, announced: None,
) -> Explanation:
    """Explain why a network sees a target in a clip: where in the picture and when.

    Args:
        clip: a video file.
        model: a name (`vidcam models` lists them), what `load_model` or `own_model` returned, or an `nn.Module`
            that takes what `own_model` assumes.
        target: "top" for the clip's most probable class, a class index, a label, "A - B" for why A and not B, or a
            function of the network's output that gives one score per window, (N,).
        weights: "default", "none" or a file; used where `model` is a name.
        layer: name of the target layer, or "auto" for the model's default; several, separated by commas, are fused.
        method: a key of `vidcam.cam.methods.METHODS`.
        fusion: how several layers are made one, see `vidcam.cam.fusion.fuse`.
        stride: source frames between windows; half a window by default.
        sampling_rate: source frames between the frames of a window; by default what brings the clip nearest to the
            frame rate the network was trained at.
        progress: told how far the reading is.

    Raises:
        VidcamError: the clip, model, layer, target or a setting cannot be used.

    Example:
        >>> import vidcam                                                                   # doctest: +SKIP
        >>> explanation = vidcam.explain("clip.mp4", model="r2plus1d_18", target="archery") # doctest: +SKIP
        >>> explanation.save("out")                                                         # doctest: +SKIP
    """
    return explain_each(
        clip,
        model,
        target,
        weights=weights,
        layer=layer,
        method=method,
        fusion=fusion,
        stride=stride,
        sampling_rate=sampling_rate,
        progress=progress,
    )[0]


def explain_each(
    clip: str | Path,
    model: str | Model | nn.Module = "playground-r2plus1d",
    target: Target = "top5",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    fusion: Fusion = "mean",
    stride: int | None = None,
    sampling_rate: int | None = None,
    progress: Progress = lambda done, announced: None,
) -> list[Explanation]:
    """Explain several things in one reading of a clip.

    Arguments and errors as for `explain`, except that `target` may be "top5", the five most probable classes, and
    `method` several, separated by commas.

    Returns:
        For each target, best first, and each method: the explanation; where there are several layers, the fused one
        and behind it those of its layers.
    """
    loaded = loaded_model(model, weights)
    methods, layers = checked_methods(method), checked_layers(loaded, layer)
    count = top_count(target)
    fixed: list[Key] = [] if count else [target_of(target, loaded.labels)]

    source = Clip(clip)
    windowing = windowing_of(source, loaded, stride, sampling_rate, overlap=2)
    reading = Reading(source, loaded, windowing, progress)
    maps_of = partial(attribute, loaded, layers, methods)

    seen: list[np.ndarray] = []
    starts: list[int] = []
    maps: list[Maps] = []

    def candidates(probabilities: np.ndarray) -> list[list[Key]]:
        """The classes worth a map now: the window's own best and the best of the clip so far."""
        if fixed:
            return [fixed] * len(probabilities)
        so_far = clip_probabilities(np.concatenate([*seen, probabilities]), loaded.background)
        return [list(dict.fromkeys([*_best(p, count or 1), *_best(so_far, count or 1)])) for p in probabilities]

    for windows in batches(reading.windows()):
        probabilities, found = maps_of(windows, candidates)
        seen.append(probabilities)
        starts += [w.start for w in windows]
        maps += found
    probabilities = np.concatenate(seen)
    overall = clip_probabilities(probabilities, loaded.background)
    keys = fixed or _best(overall, count or 1)

    # A class that came to the top late has no maps in early windows: those windows are run once more.
    lacking = {start: i for i, start in enumerate(starts) if any(k not in maps[i] for k in keys)}
    for windows in batches(w for w in reading.windows() if w.start in lacking) if lacking else ():
        for window, found_again in zip(windows, maps_of(windows, lambda p: [keys] * len(p))[1]):
            maps[lacking[window.start]].update(found_again)

    explanations = []
    for key in keys:
        of_key = [m[key] for m in maps]
        for name in methods:
            parts = [_explanation(reading, layer, name, key, starts, overall, of_key) for layer in layers]
            if len(parts) > 1:
                heat = fuse([part.maps for part in parts], fusion)
                fused = replace(parts[0], layer=",".join(layers), maps=heat, evidence=evidence_curve(heat))
                explanations.append(fused)
            explanations += parts
    return explanations


def loaded_model(model: str | Model | nn.Module, weights: str | Path) -> Model:
    """The model that was named, or given, or made of a network."""
    if isinstance(model, str):
        return load_model(model, weights)
    if isinstance(model, nn.Module):
        from vidcam.models.own import own_model

        return own_model(model)
    return model


def checked_methods(methods: str) -> list[str]:
    """The methods in a list with commas.

    Raises:
        SettingsError: there is none of that name.
    """
    names = [name.strip() for name in methods.split(",")]
    for name in names:
        method_named(name)
    return names


def checked_layers(model: Model, layers: str, most: int | None = None) -> list[str]:
    """The target layers in a list with commas, or the model's default for "auto"; at most so many.

    Raises:
        LayerError: the network has no layer of that name, or there are too many.
    """
    names = [name.strip() for name in (model.spec.layer if layers == "auto" else layers).split(",")]
    modules = dict(model.network.named_modules())
    if unknown := [name for name in names if name not in modules]:
        raise LayerError(
            f"{model.spec.name} has no layer {unknown[0]!r}; its space-time layers are {', '.join(layers_of(model))}"
        )
    if most is not None and len(names) > most:
        raise LayerError(f"{len(names)} layers are given ({', '.join(names)}); give one of them with --layer")
    return names


def windowing_of(clip: Clip, model: Model, stride: int | None, sampling_rate: int | None, *, overlap: int) -> Windowing:
    """How a clip is cut: at the frame rate the network was trained at and with `overlap` windows over each frame,
    unless told otherwise.
    """
    spec = model.spec
    natural = max(1, round(float(clip.frame_rate) / spec.frame_rate)) if spec.frame_rate else 1
    rate = sampling_rate or natural
    span = (spec.frames - 1) * rate + 1
    return Windowing(spec.frames, stride or max(1, span // overlap), rate)


def layers_of(model: Model) -> dict[str, SpaceTimeLayer]:
    """The layers of a network that can be explained by name, in the order they are called."""
    window = torch.zeros(1, 3, model.spec.frames, *model.spec.preprocess.crop)
    return space_time_layers(model.network, model.spec.pack(window), model.spec.layout)


class Reading:
    """One clip on its way into one network: frames are counted and timed as they pass."""

    def __init__(self, clip: Clip, model: Model, windowing: Windowing, progress: Progress) -> None:
        self.clip, self.model, self.windowing, self.progress = clip, model, windowing, progress
        self.times: list[float] = []
        self.padded = 0
        self.began = time.perf_counter()

    def windows(self) -> Iterator[Window[np.ndarray]]:
        """The windows of the clip, frames resized and cropped for the network."""
        self.times = []
        for window in sliding_windows(self._frames(), self.windowing):
            self.padded = window.padded
            yield window

    def _frames(self) -> Iterator[np.ndarray]:
        for frame in self.clip:
            self.times.append(frame.time)
            self.progress(frame.index + 1, self.clip.frames_announced)
            yield self.model.spec.preprocess.frame(frame.pixels)

    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the clip, once it is read, and the model."""
        notes = [*self.clip.warnings]
        if self.padded:
            notes.append(
                f"{self.clip.path.name}: its {len(self.times)} frames are fewer than one window of "
                f"{self.windowing.span}; the last frame is repeated to fill it"
            )
        return tuple([*notes, self.model.note] if self.model.note else notes)


def attribute(
    model: Model,
    layers: Sequence[str],
    methods: Sequence[str],
    windows: list[Window[np.ndarray]],
    choose: Callable[[np.ndarray], Sequence[Sequence[Key]]],
) -> tuple[np.ndarray, list[Maps]]:
    """Probabilities (N, classes) of a batch of windows, and for each window the maps of its chosen keys."""
    spec = model.spec
    parameter = next(model.network.parameters())
    batch = spec.preprocess.windows([w.frames for w in windows])
    batch = batch.to(parameter.device, parameter.dtype, memory_format=torch.channels_last_3d)
    maps: list[Maps] = [{} for _ in windows]
    with captured(model.network, layers, batch, layout=spec.layout, pack=spec.pack) as capture:
        output = class_scores(capture.output)
        if not torch.isfinite(output).all():
            raise ModelError(f"{spec.name} gives scores that are not finite; its weights ({model.weights}) are damaged")
        probabilities = output.detach().float().softmax(1).cpu().numpy()
        chosen = choose(probabilities)
        for rank in range(max(len(keys) for keys in chosen)):
            keys = [k[min(rank, len(k) - 1)] for k in chosen]
            score = keys[0] if callable(keys[0]) else classes(torch.tensor(keys))
            found = class_activation_maps(capture, score, methods)
            heats = {place: heat.cpu().numpy() for place, heat in found.items()}
            scores = score(capture.output).detach()
            for i, key in enumerate(keys):
                value = probabilities[i, key] if isinstance(key, int) else scores[i].item()
                maps[i][key] = WindowMap({place: heat[i] for place, heat in heats.items()}, float(value))
    return probabilities, maps


def _explanation(
    reading: Reading,
    layer: str,
    method: str,
    key: Key,
    starts: list[int],
    overall: np.ndarray,
    maps: list[WindowMap],
) -> Explanation:
    model, clip, windowing = reading.model, reading.clip, reading.windowing
    frames = len(reading.times)
    heat = stitch(np.stack([m.heat[method, layer] for m in maps]), starts, frames, windowing)
    window_scores = np.array([m.score for m in maps], np.float32)
    if isinstance(key, int):
        target = ExplainedTarget(key, model.labels[key], float(overall[key]))
    else:
        label = key.label if isinstance(key, Contrast) else getattr(key, "__name__", "function")
        target = ExplainedTarget(None, label, float(window_scores.mean()))
    return Explanation(
        clip=str(clip.path),
        model=model.spec.name,
        weights=model.weights,
        layer=layer,
        method=method,
        target=target,
        top=tuple((model.labels[i], float(overall[i])) for i in _best(overall, 5)),
        size=(clip.height, clip.width),
        region=model.spec.preprocess.region(clip.height, clip.width),
        times=np.array(reading.times),
        maps=heat,
        scores=stitch(window_scores[:, None], starts, frames, windowing),
        evidence=evidence_curve(heat),
        window_starts=np.array(starts),
        window_scores=window_scores,
        windowing=asdict(windowing),
        timings={"explain_s": round(time.perf_counter() - reading.began, 3)},
        versions=versions(),
        warnings=reading.warnings(),
    )


def versions() -> dict[str, str]:
    """Of vidcam and of what its results depend on."""
    return {
        "vidcam": version("vidcam"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "av": av.__version__,
    }


def _best(probabilities: np.ndarray, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-probabilities, kind="stable")[:count]]


def batches(windows: Iterable[Window[np.ndarray]]) -> Iterator[list[Window[np.ndarray]]]:
    """Windows by the number that the network is given at once; memory that is free again is given back as they go."""
    remaining, given = iter(windows), 0
    while batch := list(islice(remaining, BATCH)):
        yield batch
        given += 1
        if given % _GIVE_BACK_EVERY == 0:
            give_back_freed_memory()
