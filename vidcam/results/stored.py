"""Stored explanations: the files' claims are checked before an array is allocated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from pydantic import ValidationError

from vidcam.errors import OutputError, counted
from vidcam.results.check import Check
from vidcam.results.drawing import Drawing
from vidcam.results.explanation import ExplainedTarget, Explanation
from vidcam.results.summary import MOST_PROBABILITY, Motion, Summary
from vidcam.temporal.motion import MotionShare
from vidcam.untrusted.files import open_regular, read_json
from vidcam.untrusted.text import one_line, shortened
from vidcam.untrusted.zips import open_zip

_MOST_SUMMARY = 16 << 20
_MOST_LISTED = 4 << 10  # bytes of the list of members, of which there are six or seven
_MOST_HEADER = 4 << 10  # bytes before the numbers of an array

_AXES = {  # of each array: letters that are the same are the same length
    "times": "F",
    "maps": "Fhw",
    "scores": "F",
    "evidence": "F",
    "window_starts": "W",
    "window_scores": "W",
}
_MOTION = {"motion_share": "F"}  # of explanations of motion or appearance; NaN where it is undefined


def load_explanation(directory: str | Path, most: int = 1 << 30) -> Explanation:
    """Return the explanation that `Explanation.save` wrote as explanation.npz and summary.json; nothing is unpickled.

    Args:
        directory: the directory of the files.
        most: largest size of the arrays in bytes; a larger file is refused before it is decompressed.

    Raises:
        OutputError: a file is missing, damaged or too large, or holds values that cannot be true.

    Example:
        >>> load_explanation("results/clip").evidence.shape     # doctest: +SKIP
        (96,)
    """
    directory = Path(directory)
    if not os.path.lexists(directory / "summary.json"):
        raise _absent(directory)
    try:
        facts = Summary.model_validate(read_json(directory / "summary.json", _MOST_SUMMARY))
        with open_regular(directory / "explanation.npz") as file, open_zip(file, _MOST_LISTED) as archive:
            arrays = _arrays(archive, most, _AXES if facts.motion is None else _AXES | _MOTION)
        _check_arrays(facts, arrays)
        drawing = Drawing(**facts.drawing)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise _unreadable(directory, f"{name}: {first['msg']}, given {shortened(first['input'])}") from error
    except Exception as error:  # zipfile, zlib and numpy raise anything on damaged files: EOFError, SyntaxError, ...
        raise _unreadable(directory, str(error) or type(error).__name__) from error
    stored = set(Summary.model_fields) - {"frames", "windows"}
    values: dict[str, Any] = {name: getattr(facts, name) for name in stored} | arrays
    values["motion"] = None if facts.motion is None else _motion_share(facts.motion, values.pop("motion_share"))
    values["target"] = ExplainedTarget(**dict(facts.target))
    values["top"] = tuple((candidate.label, candidate.probability) for candidate in facts.top)
    values["check"] = None if facts.check is None else Check(**dict(facts.check))
    values["preprocess"] = None if facts.preprocess is None else dict(facts.preprocess)
    values["windowing"] = dict(facts.windowing)
    values["drawing"] = drawing
    values["warnings"] = tuple(facts.warnings)
    return Explanation(**values)


def _check_arrays(facts: Summary, arrays: Mapping[str, np.ndarray]) -> None:
    """Check that arrays hold values that can be true, and are those of the summary.

    Raises:
        ValueError: they do not, or are not.
    """
    times, starts = arrays["times"], arrays["window_starts"]
    for noun, announced, count in (("frame", facts.frames, len(times)), ("window", facts.windows, len(starts))):
        if announced not in (None, count):
            raise ValueError(f"summary.json is of {counted(announced, noun)}, and explanation.npz of {count}")
    if facts.motion is not None and len(facts.motion.windows) != len(starts):
        raise ValueError("the motion shares are of another number of windows")
    if (times[1:] <= times[:-1]).any():
        raise ValueError("the times do not rise from frame to frame")
    if not np.isin(starts, np.arange(len(times))).all():
        raise ValueError("window_starts holds numbers that are no frames of the clip")
    for name in ("maps", "evidence"):
        if arrays[name].min() < 0:
            raise ValueError(f"{name} holds values below 0")
    of_probability = () if facts.target.probability is None else ("scores", "window_scores")
    for name in (*of_probability, *(_MOTION.keys() & arrays.keys())):
        if (arrays[name] < 0).any() or (arrays[name] > MOST_PROBABILITY).any():
            raise ValueError(f"{name} holds values below 0 or above 1")


def _motion_share(stored: Motion, frames: np.ndarray) -> MotionShare:
    rows = [[np.nan if v is None else v for v in (w.share, w.low, w.high)] for w in stored.windows]
    windows = np.array(rows, np.float64).reshape(-1, 3)
    return MotionShare(
        stored.share,
        stored.low,
        stored.high,
        stored.unclamped,
        stored.undefined,
        windows[:, 0],
        windows[:, 1:],
        frames,
        tuple((one.label, one.windows) for one in stored.frozen),
    )


def _absent(directory: Path) -> OutputError:
    """Return the error for a directory without an explanation; a corpus's failed row and a localization have their own."""
    try:
        found = read_json(directory / "result.json", _MOST_SUMMARY)
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and found.get("error"):
        return OutputError(
            f"{directory}{os.sep} is of a row of a corpus that failed, and holds no explanation "
            f"({one_line(str(found['error']), 400)}); mend that, and run the corpus again with --retry-failed"
        )
    if os.path.lexists(directory / "segments.json"):
        return OutputError(
            f"{directory}{os.sep} holds a localization, not an explanation; read its segments from segments.json, or give a "
            "directory with summary.json"
        )
    return _unreadable(directory, "it has no summary.json" if directory.is_dir() else "there is no such directory")


def _unreadable(directory: Path, reason: str) -> OutputError:
    reason = one_line(reason, 400)
    return OutputError(
        f"{directory}{os.sep} holds no explanation that can be read ({reason}); give a directory written by vidcam"
    )


def _arrays(archive: ZipFile, most: int, expected: Mapping[str, str]) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    if set(members) != {f"{name}.npy" for name in expected}:
        raise BadZipFile(f"explanation.npz holds {shortened(sorted(members))}; it should hold {', '.join(expected)}")
    total = sum(member.file_size for member in members.values())
    if total > most:
        raise BadZipFile(
            f"explanation.npz has {total:,} bytes when decompressed, {most:,} are allowed; "
            "if you trust it, pass most=BYTES to load_explanation"
        )
    lengths: dict[str, int] = {}
    arrays = {}
    for name, axes in expected.items():
        shape = _checked_shape(archive, members[f"{name}.npy"])
        if len(shape) != len(axes):
            raise ValueError(f"{name} has shape {shape}; it should have {len(axes)} axes")
        if 0 in shape:
            raise ValueError(f"{name} has shape {shape}; it holds nothing")
        for axis, length in zip(axes, shape):
            if lengths.setdefault(axis, length) != length:
                raise ValueError(f"{name} has shape {shape}; other arrays have {lengths[axis]} in place of {length}")
        with archive.open(members[f"{name}.npy"]) as file:
            arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        if not (np.isfinite(arrays[name]) | (np.isnan(arrays[name]) & (name in _MOTION))).all():
            raise ValueError(f"{name} holds values that are not finite")
    return arrays


def _checked_shape(archive: ZipFile, member: ZipInfo) -> tuple[int, ...]:
    """Return the shape of a stored array, after a check that the member has exactly its bytes."""
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise BadZipFile(f"{member.filename} is compressed by another method than deflate")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        shape, dtype = _header(file, version)
        before = file.tell()
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ValueError(f"{member.filename} holds {dtype}; it should hold numbers")
    if any(n < 0 for n in shape) or before + prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(
            f"{member.filename} of shape {shortened(shape)} does not have {counted(member.file_size, 'byte')}"
        )
    return shape


def _header(file: IO[bytes], version: tuple[int, int]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array is stored in version {version}; numpy writes plain numbers in 1.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=_MOST_HEADER)
    return shape, dtype
