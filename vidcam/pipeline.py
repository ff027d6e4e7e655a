"""The pipeline: read → window → attribute → stitch."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from vidcam.cam.capture import captured, space_time_layers
from vidcam.cam.methods import METHODS, Method
from vidcam.cam.targets import ScoreFunction, Target, class_index, top_count
from vidcam.errors import LayerError, ModelError, SettingsError, TargetError
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


@dataclass(frozen=True)
class WindowMap:
    """What one window says about one target: the map (t, h, w) at the target layer, and the score."""

    heat: np.ndarray
    score: float


Maps = dict[Key, WindowMap]


def explain(
    clip: str | Path,
    model: str | Model = "playground-r2plus1d",
    target: Target = "top",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    stride: int | None = None,
    sampling_rate: int | None = None,
    progress: Progress = lambda done, announced: None,
) -> Explanation:
    """Explain why a network sees a target in a clip: where in the picture and when.

    Args:
        clip: a video file.
        model: a name (`vidcam models` lists them) or what `load_model` returned.
        target: "top" for the clip's most probable class, a class index, a label, or a function of the network's
            output that gives one score per window, (N,).
        weights: "default", "none" or a file; used where `model` is a name.
        layer: name of the target layer, or "auto" for the model's default.
        method: a key of `vidcam.cam.methods.METHODS`.
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
        stride=stride,
        sampling_rate=sampling_rate,
        progress=progress,
    )[0]


def explain_each(
    clip: str | Path,
    model: str | Model = "playground-r2plus1d",
    target: Target = "top5",
    *,
    weights: str | Path = "default",
    layer: str = "auto",
    method: str = "gradcam++",
    stride: int | None = None,
    sampling_rate: int | None = None,
    progress: Progress = lambda done, announced: None,
) -> list[Explanation]:
    """Explain several classes of a clip in one reading: "top5" gives the five most probable, best first.

    Arguments, errors: as for `explain`.
    """
    loaded = load_model(model, weights) if isinstance(model, str) else model
    spec = loaded.spec
    if method not in METHODS:
        raise SettingsError(f"there is no method {method!r}; choose one of {', '.join(METHODS)}")
    layer = spec.layer if layer == "auto" else layer
    if layer not in dict(loaded.network.named_modules()):
        raise LayerError(
            f"{spec.name} has no layer {layer!r}; its space-time layers are {', '.join(layers_of(loaded))}"
        )
    count = top_count(target)
    fixed: list[Key] = [] if count else [target if callable(target) else class_index(target, loaded.labels)]

    source = Clip(clip)
    rate = sampling_rate or max(1, round(float(source.frame_rate) / spec.frame_rate))
    span = (spec.frames - 1) * rate + 1
    windowing = Windowing(spec.frames, stride or max(1, span // 2), rate)
    reading = _Reading(source, loaded, windowing, progress)
    attribute = partial(_attribute, loaded, layer, METHODS[method])

    seen: list[np.ndarray] = []
    starts: list[int] = []
    maps: list[Maps] = []

    def candidates(probabilities: np.ndarray) -> list[list[Key]]:
        """The classes worth a map now: the window's own best and the best of the clip so far."""
        if fixed:
            return [fixed] * len(probabilities)
        so_far = clip_probabilities(np.concatenate([*seen, probabilities]), loaded.background)
        return [list(dict.fromkeys([*_best(p, count or 1), *_best(so_far, count or 1)])) for p in probabilities]

    for windows in _batches(reading.windows(), BATCH):
        probabilities, found = attribute(windows, candidates)
        seen.append(probabilities)
        starts += [w.start for w in windows]
        maps += found
    probabilities = np.concatenate(seen)
    overall = clip_probabilities(probabilities, loaded.background)
    keys = fixed or list(_best(overall, count or 1))

    # A class that came to the top late has no maps in early windows: those windows are run once more.
    lacking = {start: i for i, start in enumerate(starts) if any(k not in maps[i] for k in keys)}
    for windows in _batches((w for w in reading.windows() if w.start in lacking), BATCH) if lacking else ():
        for window, found_again in zip(windows, attribute(windows, lambda p: [keys] * len(p))[1]):
            maps[lacking[window.start]].update(found_again)

    return [
        _explanation(reading, layer, method, key, np.array(starts), overall, [m[key] for m in maps]) for key in keys
    ]


def layers_of(model: Model) -> dict[str, tuple[int, ...]]:
    """The layers of a network that can be explained: name → output shape (C, T, H, W) for one of its windows."""
    window = torch.zeros(1, 3, model.spec.frames, *model.spec.preprocess.crop)
    return space_time_layers(model.network, window)


class _Reading:
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
        notes = [*self.clip.warnings]
        if self.padded:
            notes.append(
                f"{self.clip.path.name}: its {len(self.times)} frames are fewer than one window of "
                f"{self.windowing.span}; the last frame is repeated to fill it"
            )
        return tuple([*notes, self.model.note] if self.model.note else notes)


def _attribute(
    model: Model,
    layer: str,
    method: Method,
    windows: list[Window[np.ndarray]],
    choose: Callable[[np.ndarray], list[list[Key]]],
) -> tuple[np.ndarray, list[Maps]]:
    """Probabilities (N, classes) of a batch of windows, and for each window the maps (t, h, w) of its chosen keys."""
    device = next(model.network.parameters()).device
    batch = model.spec.preprocess.windows([w.frames for w in windows]).to(device, memory_format=torch.channels_last_3d)
    maps: list[Maps] = [{} for _ in windows]
    with captured(model.network, layer, batch) as capture:
        output: Tensor = capture.output
        if not torch.isfinite(output).all():
            raise ModelError(
                f"{model.spec.name} gives scores that are not finite; its weights ({model.weights}) are damaged"
            )
        probabilities = output.detach().float().softmax(1).cpu().numpy()
        chosen = choose(probabilities)
        activation = capture.activation.float()
        for rank in range(max(len(keys) for keys in chosen)):
            keys = [k[min(rank, len(k) - 1)] for k in chosen]
            scores = _scores(output, keys)
            heats = method(activation, capture.gradient(scores).float()).cpu().numpy()
            for i, (key, heat) in enumerate(zip(keys, heats)):
                score = probabilities[i, key] if isinstance(key, int) else scores[i].item()
                maps[i][key] = WindowMap(heat, float(score))
    return probabilities, maps


def _scores(output: Tensor, keys: list[Key]) -> Tensor:
    if callable(function := keys[0]):
        scores = function(output)
        if not isinstance(scores, Tensor) or scores.shape != (len(keys),):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise TargetError(
                f"the target function gives {got} for {len(keys)} windows; it must give one score each, (N,)"
            )
        return scores
    return output[torch.arange(len(keys)), torch.tensor(keys)]


def _explanation(
    reading: _Reading,
    layer: str,
    method: str,
    key: Key,
    starts: np.ndarray,
    overall: np.ndarray,
    maps: list[WindowMap],
) -> Explanation:
    model, clip, windowing = reading.model, reading.clip, reading.windowing
    frames = len(reading.times)
    heat = stitch(np.stack([m.heat for m in maps]), list(starts), frames, windowing)
    window_scores = np.array([m.score for m in maps], np.float32)
    if isinstance(key, int):
        target = ExplainedTarget(key, model.labels[key], float(overall[key]))
    else:
        target = ExplainedTarget(None, getattr(key, "__name__", "function"), float(window_scores.mean()))
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
        scores=stitch(window_scores[:, None], list(starts), frames, windowing),
        evidence=evidence_curve(heat),
        window_starts=starts,
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


def _batches(windows: Iterable[Window[np.ndarray]], size: int) -> Iterator[list[Window[np.ndarray]]]:
    remaining = iter(windows)
    while batch := list(islice(remaining, size)):
        yield batch
