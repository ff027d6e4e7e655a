"""Scenes as files: an MP4, and beside it a JSON sidecar with the truth of every frame."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidcam.errors import ClipError
from vidcam.playground.scene import FPS, Scene
from vidcam.video.writer import FilmWriter

SIZE = 224


@dataclass(frozen=True)
class Truth:
    """What is known about a rendered clip.

    Attributes:
        label: the clip's action, or `nothing`.
        frame_rate: frames per second.
        actions: label, figure, start_frame, end_frame (the frame after the last), start_s, end_s of each action.
        masks: figure → (F, H, W) bool, the visible pixels of each figure that acts at some time, in every frame.
    """

    label: str
    frame_rate: float
    actions: tuple[dict[str, Any], ...]
    masks: dict[int, np.ndarray]


def write_clip(scene: Scene, path: Path, *, size: int = SIZE, facts: dict[str, Any] | None = None) -> None:
    """Render a scene to `path` (MP4) and its truth to the same name with `.json`.

    The sidecar holds `label`, `frame_rate`, `frames`, `size`, `actions`, and under `tubes` for each acting figure
    its box in every frame ([left, top, right, bottom], right and bottom exclusive, null where it is hidden) and
    its masks: the bits of a (frames, height, width) array in row-major order, packed eight to a byte (first pixel
    in the highest bit), deflated by zlib, base64.

    Args:
        scene: what to render.
        path: the MP4; both files appear under their names only when complete.
        size: side of the picture in pixels.
        facts: more entries for the sidecar, such as the seed.
    """
    acting = sorted({act.figure for act in scene.acts})
    masks = np.zeros((len(acting), scene.frames, size, size), bool)
    part = path.with_name(f".{path.name}.part")
    try:
        with FilmWriter(part, (size, size), time_base=Fraction(1, FPS), frame_rate=Fraction(FPS)) as film:
            for t in range(scene.frames):
                ids = np.zeros((size, size), np.uint8)
                film.write(scene.render(t, size, ids), t)
                for mask, figure in zip(masks, acting):
                    mask[t] = ids == figure + 1
        truth = {
            **(facts or {}),
            "label": scene.label,
            "frame_rate": FPS,
            "frames": scene.frames,
            "size": size,
            "actions": [_action(scene, i) for i in range(len(scene.acts))],
            "tubes": [
                {"figure": figure, "boxes": [_box(m) for m in mask], "masks": _packed(mask)}
                for figure, mask in zip(acting, masks)
            ],
        }
        sidecar = path.with_suffix(".json")
        part_sidecar = sidecar.with_name(f".{sidecar.name}.part")
        part_sidecar.write_text(json.dumps(truth, separators=(",", ":")), encoding="utf-8")
        part_sidecar.replace(sidecar)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_truth(path: Path) -> Truth:
    """The truth of a rendered clip, from its sidecar.

    Raises:
        ClipError: the sidecar is missing or not one of the playground's.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        shape = (stored["frames"], stored["size"], stored["size"])
        return Truth(
            label=stored["label"],
            frame_rate=stored["frame_rate"],
            actions=tuple(stored["actions"]),
            masks={tube["figure"]: _unpacked(tube["masks"], shape) for tube in stored["tubes"]},
        )
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ClipError(f"{path} is not the sidecar of a playground clip ({error!r}); render the clip again") from error


def _action(scene: Scene, index: int) -> dict[str, Any]:
    act = scene.acts[index]
    start, end = max(0, act.start), min(scene.frames, act.end)
    return {
        "label": act.label,
        "figure": act.figure,
        "start_frame": start,
        "end_frame": end,
        "start_s": start / FPS,
        "end_s": end / FPS,
    }


def _box(mask: np.ndarray) -> list[int] | None:
    ys, xs = np.nonzero(mask)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1] if len(ys) else None


def _packed(mask: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode("ascii")


def _unpacked(text: str, shape: tuple[int, int, int]) -> np.ndarray:
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
