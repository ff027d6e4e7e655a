"""Probe: the dtype in which a device multiplies matrices fastest, measured once and cached per machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from vidcam.untrusted.files import read_json

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_FASTER = 1.25  # ratio of times from which bfloat16 is chosen
_CLEAR = 1.2  # factor by which a ratio is above or below it, so that it is worth caching


@cache
def quickest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 if this device multiplies matrices in it clearly faster than in float32, else float32.

    A clear result is cached in a file for the next processes on this machine with this version of torch, in
    `$XDG_CACHE_HOME/vidcam` or `~/.cache/vidcam`. A file that cannot be read or written is ignored.
    """
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        return _DTYPES[read_json(_cache_file(device), 1000)["fastest"]]
    ratio = float32_over_bfloat16(device)
    fastest = "bfloat16" if ratio >= _FASTER else "float32"
    if not _FASTER / _CLEAR < ratio < _FASTER * _CLEAR:
        with suppress(OSError, RuntimeError):
            _write(_cache_file(device), {"fastest": fastest, "float32_over_bfloat16": round(ratio, 3)})
    return _DTYPES[fastest]


def float32_over_bfloat16(device: torch.device) -> float:
    """Return the time of a product of 1024x1024 matrices in float32 over that in bfloat16, in turns, the best of seven."""
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(7):
        for dtype in seconds:
            a = torch.ones(1024, 1024, device=device, dtype=dtype)
            began = time.perf_counter()
            float((a @ a)[0, 0])  # waits for the device
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - began)
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _cache_file(device: torch.device) -> Path:
    """Return the file for this processor and version of torch.

    Raises:
        RuntimeError: there is no home directory.
    """
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {_processor()}"
    key = hashlib.sha256(f"{processor}\n{torch.__version__}".encode()).hexdigest()[:16]
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative path counts as none (XDG Base Directory 0.8)
    caches = given if given.is_absolute() else Path.home() / ".cache"
    return caches / "vidcam" / f"quickest-dtype-{key}.json"


def _processor() -> str:
    """Return the name and the instruction sets of this machine's processor."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        told = ("vendor_id", "model", "stepping", "flags", "CPU", "Features")
        if lines := [line for line in first.splitlines() if line.startswith(told)]:
            return "\n".join(lines)
    return " ".join(platform.uname())


def _write(path: Path, found: dict[str, str | float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder, path.name)
        part.write_text(json.dumps(found), encoding="utf-8")
        os.replace(part, path)
