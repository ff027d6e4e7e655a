"""The pipeline: read → window → attribute → stitch."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import av
import numpy as np
import torch
from torch import nn

from vidcam.allocator import give_back_freed_memory
from vidcam.attribution import Key, Maps, WindowMap, attribute
from vidcam.cam.fusion import Fusion, fuse
from vidcam.cam.layers import SpaceTimeLayer, space_time_layers
from vidcam.cam.methods import method_named, needs
from vidcam.cam.targets import Contrast, Target, target_of, top_count
from vidcam.dense import DenseReading
from vidcam.errors import LayerError, ModelError, SettingsError, one_of
from vidcam.explanation import ExplainedTarget, Explanation
from vidcam.fidelity import dense_agreement, quickened
from vidcam.models.device import device_named
from vidcam.models.inference import steps_of
from vidcam.models.registry import Model, load_model
from vidcam.reading import Batch, Progress, Reading, windowing_of
from vidcam.temporal.curves import clip_probabilities, evidence_curve
from vidcam.temporal.stitch import stitch
from vidcam.video.source import Source, source_of


def explain(
    clip: Source,
    model: str | Model | nn.Module = "playground-r2plus1d",
    target: Target = "top",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    fusion: Fusion = "mean",
    stride: int | None = None,
    sampling_rate: int | None = None,
    frame_rate: float | None = None,
    dtype: str = "auto",
    dense: bool = False,
    device: str | None = None,
    progress: Progress = lambda done, announced: None,
) -> Explanation:
    """Explain why a network sees a target in a clip: where in the picture and when.

    Args:
        clip: a video file, a folder or a list of pictures, an array or tensor (T, H, W, 3) uint8 RGB, an iterable of
            frames (H, W, 3), or a `vidcam.video.source.FrameSource`, such as a `vidcam.video.reader.Clip` of a stretch.
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
        frame_rate: frames per second of what has no times of its own; by default what the network was trained at.
        dtype: what the trunk computes in: "auto" for what this device is quick at where that leaves the explanation
            as it is (`vidcam.fidelity.quickened`), "float32", "bfloat16" or "float16".
        dense: run the trunk once over long spans instead of on every window (`vidcam.dense`): quicker the smaller the
            stride is, and not quite the same; the explanation's warnings say how far it agrees.
        device: "cpu", "cuda", "cuda:1" or "auto" (the GPU where there is one); the network is moved there. By default
            a network by name runs as with "auto", and your own where it is.
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
        frame_rate=frame_rate,
        dtype=dtype,
        dense=dense,
        device=device,
        progress=progress,
    )[0]


def explain_each(
    clip: Source,
    model: str | Model | nn.Module = "playground-r2plus1d",
    target: Target = "top5",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    fusion: Fusion = "mean",
    stride: int | None = None,
    sampling_rate: int | None = None,
    frame_rate: float | None = None,
    dtype: str = "auto",
    dense: bool = False,
    device: str | None = None,
    progress: Progress = lambda done, announced: None,
) -> list[Explanation]:
    """Explain several things in one reading of a clip.

    Arguments and errors as for `explain`, except that `target` may be "top5", the five most probable classes, and
    `method` several, separated by commas.

    Returns:
        For each target, best first, and each method: the explanation; where there are several layers, the fused one
        and behind it those of its layers.
    """
    loaded = loaded_model(model, weights, device)
    methods, layers = checked_methods(method), checked_layers(loaded, layer)
    one_of(fusion, get_args(Fusion), "fusion")
    count = top_count(target)
    fixed: list[Key] = [] if count else [target_of(target, loaded.labels)]

    reading = reading_of(
        clip,
        loaded,
        layers,
        methods,
        stride=stride,
        sampling_rate=sampling_rate,
        frame_rate=frame_rate,
        overlap=2,
        dtype=dtype,
        dense=dense,
        progress=progress,
    )

    seen: list[np.ndarray] = []
    starts: list[int] = []
    maps: list[Maps] = []

    def candidates(probabilities: np.ndarray) -> list[list[Key]]:
        """The classes worth a map now: the window's own best and the best of the clip so far."""
        if fixed:
            return [fixed] * len(probabilities)
        so_far = clip_probabilities(np.concatenate([*seen, probabilities]), loaded.background)
        return [list(dict.fromkeys([*_best(p, count or 1), *_best(so_far, count or 1)])) for p in probabilities]

    for some, probabilities, found in attributions(reading, layers, methods, candidates):
        seen.append(probabilities)
        starts += some
        maps += found
    probabilities = np.concatenate(seen)
    overall = clip_probabilities(probabilities, loaded.background)
    keys = fixed or _best(overall, count or 1)

    # A class that came to the top late has no maps in early windows: those windows are run once more.
    lacking = {start: i for i, start in enumerate(starts) if any(k not in maps[i] for k in keys)}
    if lacking:
        for some, _, found in attributions(reading, layers, methods, lambda p: [keys] * len(p), only=lacking):
            for start, found_again in zip(some, found):
                maps[lacking[start]].update(found_again)

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
    del of_key, maps  # the maps of windows, as large as those of frames
    give_back_freed_memory()
    return explanations


def loaded_model(model: str | Model | nn.Module, weights: str | Path, device: str | None = None) -> Model:
    """The model that was named, or given, or made of a network, on a device where one is named.

    Raises:
        VidcamError: the model cannot be had, or there is no such device.
    """
    if isinstance(model, str):
        return load_model(model, weights, device="auto" if device is None else device)
    if device is not None:
        (model if isinstance(model, nn.Module) else model.network).to(device_named(device))
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


def layers_of(model: Model) -> dict[str, SpaceTimeLayer]:
    """The layers of a network that can be explained by name, in the order they are called."""
    window = torch.zeros(1, 3, model.spec.frames, *model.spec.preprocess.crop, device=model.device)
    return space_time_layers(model.network, model.spec.pack(window), model.spec.layout)


def reading_of(
    clip: Source,
    model: Model,
    layers: Sequence[str],
    methods: Sequence[str],
    *,
    stride: int | None,
    sampling_rate: int | None,
    frame_rate: float | None = None,
    overlap: int,
    dtype: str,
    dense: bool,
    progress: Progress,
) -> Reading:
    """A clip on its way into a model that is prepared for it; see `explain`, and `windowing_of` for `overlap`.

    Raises:
        VidcamError: the clip or a setting cannot be used.
    """
    source = source_of(clip, frame_rate, model.spec.frame_rate)
    windowing = windowing_of(source, model, stride, sampling_rate, overlap=overlap)
    if dense and len(layers) > 1:
        raise LayerError(f"dense explains one layer, and {', '.join(layers)} are given; give one of them with --layer")
    if dense and (slow := [m for m in methods if "masked_scores" in needs(method_named(m))]):
        raise SettingsError(f"{slow[0]} runs the network anew for each channel; it cannot be had with dense")
    if dense:
        reading: Reading = DenseReading(source, model, windowing, progress, steps_of(model, layers[0]))
    else:
        reading = Reading(source, model, windowing, progress)
    reading.model = quickened(reading, layers, dtype)
    return reading


def attributions(
    reading: Reading,
    layers: Sequence[str],
    methods: Sequence[str],
    choose: Callable[[np.ndarray], Sequence[Sequence[Key]]],
    only: Collection[int] | None = None,
) -> Iterator[tuple[list[int], np.ndarray, list[Maps]]]:
    """Batch by batch the starts of the windows, their probabilities and the maps of the keys chosen for them."""
    with closing(reading.batches(only)) as made:
        for batch in made:
            found = _within_memory(reading, layers, methods, batch, choose)
            if isinstance(reading, DenseReading) and reading.agreement is None:
                reading.agreement = dense_agreement(reading, layers, methods, batch, found)
            yield batch.starts, *found


def _within_memory(
    reading: Reading,
    layers: Sequence[str],
    methods: Sequence[str],
    batch: Batch,
    choose: Callable[[np.ndarray], Sequence[Sequence[Key]]],
) -> tuple[np.ndarray, list[Maps]]:
    """`attribute`, half by half from the batch on that the device's memory does not take.

    Raises:
        ModelError: it does not take a single window, or, with dense, a span.
    """
    windows = len(batch.starts)
    if batch.cut is not None or windows <= reading.at_once:
        try:
            return attribute(reading.model, layers, methods, batch, choose)
        except torch.OutOfMemoryError as error:
            if batch.cut is not None or windows == 1:
                what = "a span of windows; leave out dense" if batch.cut is not None else "a window; free some of it"
                raise ModelError(
                    f"the memory of {reading.model.device} does not take {what}, or choose a smaller network"
                ) from error
        torch.cuda.empty_cache()  # not above: until the except is left, the error holds what was computed
        reading.at_once = windows // 2
    half = windows // 2
    halves = [Batch(batch.starts[:half], batch.given[:half]), Batch(batch.starts[half:], batch.given[half:])]
    found = [_within_memory(reading, layers, methods, one, choose) for one in halves]
    return np.concatenate([probabilities for probabilities, _ in found]), [m for _, maps in found for m in maps]


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
    heat = stitch([m.heat[method, layer] for m in maps], starts, frames, windowing)
    window_scores = np.array([m.score for m in maps], np.float32)
    if isinstance(key, int):
        target = ExplainedTarget(key, model.labels[key], float(overall[key]))
    else:
        label = key.label if isinstance(key, Contrast) else getattr(key, "__name__", "function")
        target = ExplainedTarget(None, label, float(window_scores.mean()))
    return Explanation(
        clip=clip.name,
        model=model.spec.name,
        weights=model.weights,
        layer=layer,
        method=method,
        target=target,
        top=tuple((model.labels[i], float(overall[i])) for i in _best(overall, 5)),
        size=(clip.height, clip.width),
        region=model.spec.preprocess.region(clip.height, clip.width),
        stretch=(clip.start, clip.end),
        times=np.array(reading.times),
        maps=heat,
        scores=stitch(window_scores[:, None], starts, frames, windowing),
        evidence=evidence_curve(heat),
        window_starts=np.array(starts),
        window_scores=window_scores,
        windowing=asdict(windowing),
        computation=reading.computation(),
        timings={"explain_s": round(time.perf_counter() - reading.began, 3)},
        versions=versions(),
        warnings=reading.warnings(),
        source=clip,
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
