"""Freed memory stays with the process while it trains, and goes back to the system afterwards."""

import resource
import subprocess
import sys

import pytest

from harness.hardware import heap

FAULTS = """
import ctypes, resource, sys
from harness.hardware import freed_memory_kept, trim

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
MIB = 2**20

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(20 * MIB) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 20 * MIB)
    for block in blocks:
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB

step(), step()
given_back = step()
with freed_memory_kept():
    with freed_memory_kept():
        step()
    kept = step()
    held = resident_mib()
trim()
print(given_back, kept, held - resident_mib())
"""


@pytest.mark.skipif(heap._c_library() is None, reason="the C library is not GNU's")
def test_a_step_takes_the_memory_of_the_step_before():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    given_back, kept, freed_mib = map(float, done.stdout.split())
    pages = 160 * 2**20 / resource.getpagesize()
    assert given_back > 0.5 * pages
    assert kept < 0.01 * pages
    assert freed_mib > 100


def test_without_gnus_library_nothing_is_done(monkeypatch):
    monkeypatch.setattr(heap, "_c_library", lambda: None)
    with heap.freed_memory_kept():
        heap.trim()
