from __future__ import annotations

import subprocess
import sys

import pytest

from vidcam.allocator import keep_freed_memory

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


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
