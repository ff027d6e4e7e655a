"""Clips for evaluation: rendered ones, whose truth is known, or a folder of clips."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from vidcam.errors import ClipError, OutputError, SettingsError
from vidcam.models.preprocess import Preprocess
from vidcam.playground.clips import read_truth, write_clip
from vidcam.playground.scene import Scene, untrimmed_scene
from vidcam.untrusted.files import read_regular
from vidcam.untrusted.text import shortened
from vidcam.video.reader import Clip
from vidcam.video.source import ArraySource

MOST_FRAMES = 600
"""Largest number of frames; longer clips are measured on their first frames, so that they fit into memory."""

_MOST_TABLE_BYTES = 16 << 20

_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif"}


@dataclass(frozen=True)
class Sample:
    """A clip as the network sees it.

    Attributes:
        name: of the clip.
        frames: (F, H, W, 3) uint8, resized and cropped.
        frame_rate: frames per second.
        label: the clip's class, or None if it is not known.
        mask: (F, H, W) bool, the visible pixels of all actors while they act, or None if they are not known.
        actors: a mask like this for each of them.
    """

    name: str
    frames: np.ndarray
    frame_rate: float
    label: str | None = None
    mask: np.ndarray | None = None
    actors: tuple[np.ndarray, ...] = ()

    @property
    def source(self) -> ArraySource:
        """The frames as a source for `Explainer.explain`."""
        return ArraySource(self.frames, self.frame_rate, self.name)


@dataclass(frozen=True)
class Source:
    """A clip that is read on demand.

    Attributes:
        name: of the clip.
        read: returns the clip, given the network's preprocessing.
    """

    name: str
    read: Callable[[Preprocess], Sample]


def sources(data: str, seed: int, count: int, scene: Callable[[int, int], Scene] = untrimmed_scene) -> list[Source]:
    """Return the clips of a folder in the order of their names, or rendered scenes; `count` at most.

    Args:
        data: the folder, or "playground".
        seed: of rendered scenes.
        count: number of clips.
        scene: returns scene `index` of a seed, given (seed, index).

    Raises:
        SettingsError: there is no such folder, or no clip in it.
    """
    if data == "playground":
        return [Source(f"{seed}-{index:04d}", partial(_render, scene, seed, index)) for index in range(count)]
    folder = Path(data)
    if not folder.is_dir():
        raise SettingsError(f"--data {data} is not a folder; give a folder of clips, or playground")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise SettingsError(f"--data {data} holds no clips ({', '.join(sorted(_SUFFIXES))}); give a folder of clips")
    return [Source(path.name, partial(read_sample, path)) for path in paths[:count]]


def _render(scene: Callable[[int, int], Scene], seed: int, index: int, preprocess: Preprocess) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{seed}-{index:04d}.mp4"
        write_clip(scene(seed, index), path)
        return read_sample(path, preprocess)


def render_clips(scene: Callable[[int, int], Scene], seed: int, count: int, folder: Path) -> Path:
    """Render the clips of a seed into a folder and return the folder; clips that exist are kept.

    Args:
        scene: returns scene `index` of a seed, given (seed, index).
        seed: of the scenes.
        count: number of clips.
        folder: made if it does not exist.

    Raises:
        OutputError: it cannot be written, or holds other clips.
    """
    names = [f"{seed}-{index:04d}.mp4" for index in range(count)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if others := sorted({p.name for p in folder.glob("*.mp4")} - set(names)):
            raise OutputError(f"{folder} holds other clips ({others[0]}); give another --out")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); give another --out") from error
    for index, name in enumerate(names):
        if not (folder / name).exists():
            write_clip(scene(seed, index), folder / name)
    return folder


def read_sample(path: Path, preprocess: Preprocess) -> Sample:
    """Return a clip with the truth in the playground's sidecar beside it, or else with its label in labels.csv.

    Raises:
        ClipError: the clip, its sidecar or labels.csv cannot be read.
    """
    clip = Clip(path)
    frames = np.stack([preprocess.frame(frame.pixels) for frame in islice(clip, MOST_FRAMES)])
    rate = float(clip.frame_rate)
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        return Sample(path.name, frames, rate, _label_in_table(path))
    truth = read_truth(sidecar)
    actors = {a["figure"]: np.zeros((len(frames), *frames.shape[1:3]), bool) for a in truth.actions}
    for action in truth.actions:
        if action["label"] == truth.label:
            figure = truth.masks[action["figure"]]
            if figure.shape[1:] != (clip.height, clip.width):
                raise ClipError(f"{sidecar} has masks of {figure.shape[1:]}, {path.name} frames of another size")
            for t in range(action["start_frame"], min(action["end_frame"], len(frames))):
                seen = preprocess.frame(np.repeat(figure[t, :, :, None], 3, axis=2).astype(np.uint8) * 255)
                actors[action["figure"]][t] |= seen[:, :, 0] > 127
    none = np.zeros((len(frames), *frames.shape[1:3]), bool)
    mask = np.any([none, *actors.values()], axis=0)
    return Sample(path.name, frames, rate, truth.label, mask, tuple(a for a in actors.values() if a.any()))


def _label_in_table(path: Path) -> str | None:
    """Return the label of a clip in the labels.csv of its folder, of rows `clip,label`; None if it has none."""
    table = path.with_name("labels.csv")
    try:
        if not table.exists():
            return None
        text = read_regular(table, _MOST_TABLE_BYTES).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise ClipError(f"{table} cannot be read ({error}); give a UTF-8 file of rows clip,label") from error
    given = list(dict.fromkeys(row[1].strip() for row in rows if len(row) > 1 and row[0].strip() == path.name))
    if len(given) > 1:
        both = f"{shortened(given[0])} and {shortened(given[1])}"
        raise ClipError(f"{table} gives {shortened(path.name)} the labels {both}; give one")
    return given[0] if given else None
