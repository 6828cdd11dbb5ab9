"""Main memory and the last cache before it: copy, triad (a = b + s c) and the sum of an array, in fp32.

Sizes beyond the cache follow STREAM's rule (McCalpin, 1995): each array at least four times as large. The
one size inside it fills a quarter of it. Bytes are those that the operation reads and writes; what a CPU reads before
it writes to a line (write-allocate) is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch

from harness.bench.micro.data import normal
from harness.bench.peaks import IN_CACHE
from harness.bench.rows import Case, Row, skipped
from harness.bench.timing.clocks import cache_bytes
from harness.bench.workload import Setting, Workload, groups
from harness.records import MIB

BEYOND = "beyond the cache"
CACHES = 4
"""Caches that each array fills."""
LEAST_MIB = 64
MEMORY_SHARE = 0.1
"""Of the free memory, what an array may take."""
UNKNOWN_CACHE = 32 * MIB
_SCALE = 1.5
ARRAYS = {"copy": 2, "triad": 3, "reduction": 1}
"""How many arrays each operation reads or writes."""


@groups.register("copy")
def copy(setting: Setting) -> Iterator[Workload | Row]:
    """Yield copies of one array to another."""
    return _sizes("copy", setting)


@groups.register("triad")
def triad(setting: Setting) -> Iterator[Workload | Row]:
    """Yield triads, two arrays added into a third."""
    return _sizes("triad", setting)


@groups.register("reduction")
def reduction(setting: Setting) -> Iterator[Workload | Row]:
    """Yield sums over an array."""
    return _sizes("reduction", setting)


def beyond_cache(cache: float, memory_mib: float) -> int:
    """Return the bytes of an array that no cache holds: a power of two MiB, smaller only where memory is short."""
    wanted = max(CACHES * cache, LEAST_MIB * MIB)
    return int(min(2 ** math.ceil(math.log2(wanted)), 2 ** math.floor(math.log2(MEMORY_SHARE * memory_mib * MIB))))


def in_cache(cache: float, arrays: int) -> int:
    """Return the bytes of each of so many arrays, a power of two, that together fill a quarter of the cache at most."""
    return int(2 ** math.floor(math.log2(cache / 4 / arrays)))


def _sizes(bench: str, setting: Setting) -> Iterator[Workload | Row]:
    cache = cache_bytes(setting.device)
    known = cache == cache
    yield operation(bench, BEYOND, beyond_cache(cache if known else UNKNOWN_CACHE, setting.memory_mib), setting)
    if known:
        yield operation(bench, IN_CACHE, in_cache(cache, ARRAYS[bench]), setting)
    else:
        case = Case(bench=bench, variant=IN_CACHE, threads=setting.threads)
        yield skipped(case, "the cache size is not available on this system")


def operation(bench: str, variant: str, size_bytes: int, setting: Setting) -> Workload:
    """Return one of the operations on arrays of so many bytes."""
    return Workload(
        case=Case(bench=bench, variant=variant, shape=size_text(size_bytes), threads=setting.threads),
        prepare=partial(_prepare, bench, size_bytes // 4, setting),
        bytes_moved=float(ARRAYS[bench] * size_bytes),
        flush=variant != IN_CACHE,
        energy=variant != IN_CACHE,
    )


def size_text(size_bytes: int) -> str:
    """Return a size as people say it."""
    return f"{size_bytes // MIB} MiB" if size_bytes >= MIB else f"{size_bytes // 1024} KiB"


def _prepare(bench: str, elements: int, setting: Setting) -> Callable[[], object]:
    b_N = normal(elements, dtype=torch.float32, setting=setting)
    if bench == "reduction":
        return b_N.sum
    a_N = torch.empty_like(b_N)
    if bench == "copy":
        return partial(a_N.copy_, b_N)
    c_N = normal(elements, dtype=torch.float32, setting=setting, seed=1)
    return partial(torch.add, b_N, c_N, alpha=_SCALE, out=a_N)
