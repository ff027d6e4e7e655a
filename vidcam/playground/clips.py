"""Scenes as files: an MP4, and beside it a JSON sidecar with the truth of every frame."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, StrictStr, ValidationError

from vidcam.errors import ClipError, counted
from vidcam.playground.scene import FPS, Scene
from vidcam.untrusted.files import read_json
from vidcam.untrusted.text import fitted, shortened
from vidcam.video.writer import FilmWriter

SIZE = 224

_MOST_BYTES = 64 << 20
_MOST_PIXELS = 1 << 30  # of all masks together

Number = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, le=1 << 30)]


class _Action(BaseModel):
    label: StrictStr
    figure: Count
    start_frame: Count
    end_frame: Count
    start_s: Number
    end_s: Number


class _Tube(BaseModel):
    figure: Count
    masks: StrictStr


class _Sidecar(BaseModel):
    """The entries of a sidecar that are read."""

    label: StrictStr
    frame_rate: Annotated[Number, Field(gt=0)]
    frames: Count
    size: Annotated[Count, Field(le=8192)]
    actions: list[_Action]
    tubes: list[_Tube]


@dataclass(frozen=True)
class Truth:
    """The truth of a rendered clip.

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
    """Return the truth of a rendered clip, from its sidecar.

    Raises:
        ClipError: the sidecar is missing or not one of the playground's.
    """
    try:
        stored = _Sidecar.model_validate(read_json(path, _MOST_BYTES))
        shape = (stored.frames, stored.size, stored.size)
        if prod(shape) * len(stored.tubes) > _MOST_PIXELS:
            raise ValueError(f"{len(stored.tubes)} masks of {shape} are more than {_MOST_PIXELS:,} pixels")
        masks = {tube.figure: _unpacked(tube.masks, shape) for tube in stored.tubes}
        if any(action.figure not in masks or action.end_frame > stored.frames for action in stored.actions):
            raise ValueError("an action has no figure, or ends after the clip")
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        reason = f"{name}: {first['msg']}, given {shortened(first['input'])}"
        raise _not_a_sidecar(path, reason) from error
    except (OSError, ValueError, zlib.error) as error:
        raise _not_a_sidecar(path, str(error)) from error
    return Truth(stored.label, stored.frame_rate, tuple(action.model_dump() for action in stored.actions), masks)


def _not_a_sidecar(path: Path, reason: str) -> ClipError:
    return ClipError(f"{path} is not the sidecar of a playground clip ({fitted(reason, 300)}); render the clip again")


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
    size = (prod(shape) + 7) // 8
    inflating = zlib.decompressobj()
    bits = inflating.decompress(base64.b64decode(text, validate=True), size + 1)
    if len(bits) != size or not inflating.eof:
        raise ValueError(f"a mask does not have the {counted(size, 'byte')} of {shape} pixels")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=prod(shape)).reshape(shape).astype(bool)
