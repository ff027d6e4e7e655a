"""Versions of the packages that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import av
import numpy as np
import torch


def versions() -> dict[str, str]:
    """Return the versions of vidcam and of the packages that its results depend on."""
    return {
        "vidcam": version("vidcam"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "av": av.__version__,
    }
