"""Memory of large tensors: keep freed pages in the process, or return them to the kernel."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that the next large tensor does not need new pages.

    glibc returns every block above 32 MB to the kernel when it is freed, and the kernel zeroes the pages of the next one
    at their first use. Activations in space and time are such blocks: training the bundled C3D on a CPU takes twice
    as long with it. Does nothing if the C library is another one.

    Returns:
        True if the allocator accepted the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> None:
    """Return the free pages of glibc's heap to the kernel, those between allocated blocks included.

    Freed large tensors leave holes between the small results that are kept, and the holes grow over a long clip.
    Does nothing if the C library is another one.
    """
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def separate_copy(array: np.ndarray) -> np.ndarray:
    """Return a copy of an array in a private mapping, so that long-lived results do not fragment the heap."""
    # The kernel merges adjacent private mappings; it allows some ten thousand mappings in a process.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if sys.platform != "win32" else {}
    pages = mmap.mmap(-1, max(1, array.nbytes), **private)
    copy = np.frombuffer(pages, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy
