"""Memory: freed pages of large tensors kept or returned to the kernel, results outside the heap, the garbage collector."""

from __future__ import annotations

import ctypes
import gc
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_SMALL = 500  # bytes; Python takes objects of up to 512 from pages of its own


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that the next large tensor does not need new pages.

    glibc returns every block above 32 MB to the kernel when it is freed, and the kernel zeroes the pages of the next one
    at their first use. Activations in space and time are such blocks: training the bundled C3D on a CPU takes twice
    as long with it. Threads share one arena: `malloc_trim` does not return the free end of the arenas of other threads.
    Does nothing if the C library is another one.

    Returns:
        True if the allocator accepted the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_ARENA_MAX: 1}
    return all([mallopt(name, value) for name, value in settings.items()])


def give_back_freed_memory() -> None:
    """Return the free pages of glibc's heap to the kernel, those between allocated blocks included.

    Freed large tensors leave holes between the small results that are kept, and the holes grow over a long clip.
    Does nothing if the C library is another one.
    """
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def separate_copy(array: np.ndarray) -> np.ndarray:
    """Return a copy of an array outside the heap, so that long-lived results do not fragment it."""
    if array.nbytes <= _SMALL:
        memory: bytearray | mmap.mmap = bytearray(max(1, array.nbytes))
    else:
        # The kernel merges adjacent private mappings; it allows some ten thousand mappings in a process.
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if sys.platform != "win32" else {}
        memory = mmap.mmap(-1, array.nbytes, **private)
    copy = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's collector of reference cycles inside the `with`.

    Modules make many objects while they are imported, and nearly all stay: looking for cycles in between takes a fifth of
    the time of importing torch and Matplotlib.

    Example:
        >>> with collector_paused():
        ...     import torch
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
