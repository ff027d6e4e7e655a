"""Memory of large tensors: keep freed pages in the process, or return them to the kernel."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Make freed memory stay with the process, so that the next large tensor does not have to be mapped anew.

    glibc gives every block above 32 MB back to the kernel when it is freed, and the next one is zeroed page by page
    at its first touch. Activations on space-time are such blocks: training the bundled C3D on a CPU takes twice
    as long that way. Does nothing where the C library is another one.

    Returns:
        Whether the allocator was told.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> None:
    """Give the kernel the pages glibc holds that nothing lies on, holes in the heap included.

    Large tensors come and go while small results stay, and leave holes that grow over a long clip.
    Does nothing where the C library is another one.
    """
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def separate_copy(array: np.ndarray) -> np.ndarray:
    """Copy into a private mapping, so that long-lived results do not fragment the heap."""
    # Private ones that lie side by side are one to the kernel, which allows some ten thousands.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if sys.platform != "win32" else {}
    pages = mmap.mmap(-1, max(1, array.nbytes), **private)
    copy = np.frombuffer(pages, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy
