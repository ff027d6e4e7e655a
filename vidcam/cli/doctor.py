"""Checks for a bug report: versions, and a test of each part that vidcam depends on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from vidcam.errors import VidcamError, counted

_PACKAGES = ("vidcam", "torch", "torchvision", "pytorchvideo", "av", "opencv-python-headless", "numpy", "einops")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: the part that was checked.
        fine: True if it works.
        detail: a version, or the error.
    """

    subject: str
    fine: bool
    detail: str


def findings() -> Iterator[Finding]:
    """Check the machine, the packages, the codecs and the bundled networks, and yield each result."""
    yield Finding("python", True, f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            yield Finding(package, False, "not installed")
    yield _tried("torchvision imports", _torchvision)
    yield _tried("device", _device)
    yield _tried("H.264 encoder", _encoder)
    for name in ("playground-r2plus1d", "playground-c3d", "playground-tubelet", "playground-gru", "playground-tsm"):
        yield _tried(f"weights {name}", partial(_weights, name))
    yield _tried("weights playground-captioner", _captioner)


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except (VidcamError, ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding(subject, False, str(error))


def _torchvision() -> str:
    from vidcam.models import torchvision_import

    torchvision_import.import_torchvision()
    declared = len(torchvision_import._declared)
    return f"yes, {counted(declared, 'operator')} declared in its place" if declared else "yes"


def _device() -> str:
    import torch

    return (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    )


def _encoder() -> str:
    import av

    return f"{av.codec.Codec('libx264', 'w').name} of FFmpeg libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def _weights(name: str) -> str:
    from vidcam.models.registry import load_model

    load_model(name)
    return _size(name)


def _captioner() -> str:
    from vidcam.playground.captioner import NAME, load_captioner

    load_captioner()
    return _size(NAME)


def _size(name: str) -> str:
    from vidcam.playground.spec import bundled_weights

    return f"{bundled_weights(name).stat().st_size / 1e6:.2f} MB"
