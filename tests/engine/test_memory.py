from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidcam.engine.memory import collector_paused, give_back_freed_memory, keep_freed_memory, separate_copy

_FAULTS = """
import resource
from vidcam.engine.memory import keep_freed_memory
{told}
def fill():
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _printed(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_are_used_again_without_new_page_faults() -> None:
    usual, kept = (_printed(_FAULTS.format(told=told)) for told in ("", "keep_freed_memory()"))
    assert kept < usual / 10


_HELD = """
from vidcam.engine.memory import give_back_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1])
blocks = [bytearray(b"x" * 60_000) for _ in range(2000)]
small = [bytearray(b"x" * 40) for _ in range(2000)]
full = resident()
kept = blocks[::50]
del blocks
give_back_freed_memory()
print(resident() / full)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_holes_in_the_heap_are_given_back() -> None:
    assert _printed(_HELD) < 0.5


_OF_A_THREAD = """
from threading import Thread
from vidcam.engine.memory import give_back_freed_memory, keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1])
keep_freed_memory()
before = resident()
def work():
    blocks = [bytearray(b"x" * 3_000_000) for _ in range(15)]
    global full
    full = resident()
thread = Thread(target=work)
thread.start()
thread.join()
give_back_freed_memory()
print((resident() - before) / (full - before))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_of_a_thread_is_given_back() -> None:
    assert _printed(_OF_A_THREAD) < 0.3


_APART = """
import numpy as np
from vidcam.engine.memory import separate_copy
def resident():
    return int(open("/proc/self/statm").read().split()[1])
kept, blocks = [], []
for _ in range(500):
    blocks.append(np.ones(60_000, np.uint8))
    kept.append({copied}(np.ones({size}, np.uint8)))
full = resident()
del blocks
blocks = [np.ones(70_000, np.uint8) for _ in range(400)]  # larger than any hole between what is kept
print((resident() - full) * 4096 / 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.parametrize("size", [200, 4_000])
def test_what_is_kept_apart_leaves_no_holes(size: int) -> None:
    grown = {copied: _printed(_APART.format(copied=copied, size=size)) for copied in ("np.copy", "separate_copy")}
    assert grown["separate_copy"] < grown["np.copy"] / 2, grown


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_many_copies_are_few_mappings() -> None:
    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    before = mappings()
    kept = [separate_copy(np.ones(5_000, np.uint8)) for _ in range(2_000)]
    assert mappings() - before < len(kept) / 20


def test_a_copy_is_a_copy() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    copy = separate_copy(array)
    np.testing.assert_array_equal(copy, array)
    copy[0, 0, 0] = 7
    assert array[0, 0, 0] == 0 and separate_copy(np.zeros((0, 3))).shape == (0, 3)


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    give_back_freed_memory()


def test_the_collector_goes_on_after_its_pause() -> None:
    with pytest.raises(ImportError), collector_paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled(), "it was off before"
    finally:
        gc.enable()
