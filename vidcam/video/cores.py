"""Processor cores that this process may use."""

from __future__ import annotations

import psutil


def cores() -> int:
    """Return the number of processor cores that this process may use, at least 1.

    Example:
        >>> cores() >= 1
        True
    """
    if hasattr(psutil.Process, "cpu_affinity"):  # not on macOS
        return len(psutil.Process().cpu_affinity())
    return psutil.cpu_count() or 1
