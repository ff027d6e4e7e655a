from __future__ import annotations

import subprocess
import sys

import pytest

from vidcam.allocator import give_back_freed_memory, keep_freed_memory

_FAULTS = """
import resource
from vidcam.allocator import keep_freed_memory
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


def _page_faults(told: str) -> int:
    command = [sys.executable, "-c", _FAULTS.format(told=told)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_are_used_again_without_new_page_faults() -> None:
    usual, kept = _page_faults(""), _page_faults("keep_freed_memory()")
    assert kept < usual / 10


_HELD = """
from vidcam.allocator import give_back_freed_memory
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
    found = subprocess.run([sys.executable, "-c", _HELD], check=True, capture_output=True, text=True)
    assert float(found.stdout) < 0.5


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    give_back_freed_memory()
