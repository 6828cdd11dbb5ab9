"""Matrix products: squares from 512 to 8192 as memory and time allow, and one shape that fits no tile.

int8 (``torch._int_mm``) adds up in int32. fp8 is e4m3 with one scale for each matrix and a bf16 result
(``torch._scaled_mm``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from harness.bench.micro.data import FLOATS, case_of, normal
from harness.bench.micro.onednn import has_onednn, packed_product
from harness.bench.rows import Case, Row, skipped
from harness.bench.workload import Setting, Workload, groups
from harness.errors import first_line
from harness.hardware import native_precisions
from harness.measure import synchronize
from harness.plan.running import tf32_arithmetic
from harness.records import MIB

Shape = tuple[int, int, int]
"""Rows of the first matrix, its columns, columns of the second: M, K, N."""

SIZES = (512, 1024, 2048, 4096, 8192)
RAGGED_MAX = 4096
NEEDED: Mapping[str, tuple[int, int]] = {"int8": (7, 5), "fp8": (8, 9)}
"""Compute capability from which a GPU's tensor cores know a format."""
ALIGNED = frozenset(NEEDED)
"""Formats whose kernels take multiples of 16 only."""
FORMATS = (*FLOATS, *NEEDED)
CALLS = 12
"""About how many calls the least measuring of a workload takes, those of the probe among them."""
TIME_SHARE = 0.5
"""Of the group's time, what these calls may take."""
MEMORY_SHARE = 0.25
PROBES = 3


@groups.register("matmul")
def matmul(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the products shape by shape, all formats of a shape together."""
    sizes: dict[str, tuple[int, ...]] = {}
    obstacles = {dtype: _obstacle(dtype, setting) for dtype in FORMATS}
    native = [dtype for dtype in FORMATS if not obstacles[dtype]]
    for dtype in FORMATS:
        if obstacles[dtype]:
            yield skipped(replace(_case((0, 0, 0), dtype, setting), shape=""), obstacles[dtype])
        else:
            ways = len(native) + has_onednn(setting)
            sizes[dtype] = fitting(partial(probe, dtype=dtype, setting=setting), setting, ways)
    for size in SIZES:
        for dtype in native:
            if size in sizes[dtype]:
                yield product((size,) * 3, dtype, setting, energy=size == sizes[dtype][-1])
            elif size > sizes[dtype][-1]:
                reason = "a product of this size would exceed the memory or the time of this level"
                yield skipped(_case((size,) * 3, dtype, setting), reason)
        if has_onednn(setting) and size in sizes["fp32"]:
            yield packed_product((size,) * 3, setting)
    largest = min(RAGGED_MAX, max(sizes[dtype][-1] for dtype in native if dtype not in ALIGNED))
    for dtype in native:
        if dtype in ALIGNED:
            yield skipped(_case(ragged(largest), dtype, setting), "its kernels take multiples of 16 only")
        else:
            yield product(ragged(min(largest, sizes[dtype][-1])), dtype, setting)


def fitting(seconds_of: Callable[[int], float], setting: Setting, formats: int) -> tuple[int, ...]:
    """Return the sizes for which there is memory and time, the first always; the quick level takes the last two.

    ``seconds_of`` times one product of a size; eight times as long is what the next size is predicted to take, which
    for a GPU that the smaller one did not fill is too long.
    """
    budget_s = TIME_SHARE * setting.seconds / formats
    budget_bytes = MEMORY_SHARE * setting.memory_mib * MIB
    sizes = [SIZES[0]]
    while len(sizes) < len(SIZES):
        size = SIZES[len(sizes)]
        predicted_s = CALLS * (size / sizes[-1]) ** 3 * seconds_of(sizes[-1])
        if predicted_s > budget_s or 3 * 4 * size**2 * formats > budget_bytes:
            break
        budget_s -= predicted_s
        sizes.append(size)
    return tuple(sizes[-2:] if setting.level == "quick" else sizes)


def ragged(size: int) -> Shape:
    """Return a shape near a square of this size, half as wide, whose sides are odd."""
    return size - 1, size + 1, size // 2 + 1


def probe(size: int, *, dtype: str, setting: Setting) -> float:
    """Return the seconds of the fastest of a few products, after one to warm up."""
    with tf32_arithmetic(setting.device, dtype):
        call = prepare((size,) * 3, dtype, setting)
        return min([_timed(call, setting.device) for _ in range(1 + PROBES)][1:])


def product(shape: Shape, dtype: str, setting: Setting, *, energy: bool = False) -> Workload:
    """Return the product of two random matrices; a multiply-add counts as 2 FLOPs."""
    rows, inner, columns = shape
    return Workload(
        case=_case(shape, dtype, setting),
        prepare=partial(prepare, shape, dtype, setting),
        flops=2.0 * rows * inner * columns,
        flops_source="formula",
        bytes_moved=traffic(shape, dtype),
        energy=energy,
    )


def traffic(shape: Shape, dtype: str) -> float:
    """Return the bytes that a product must move: each matrix once, the third in the format that it adds up in."""
    rows, inner, columns = shape
    operand, result = {"int8": (1, 4), "fp8": (1, 2)}.get(dtype) or (FLOATS[dtype].itemsize,) * 2
    return float(operand * (rows * inner + inner * columns) + result * rows * columns)


def prepare(shape: Shape, dtype: str, setting: Setting) -> Callable[[], Tensor]:
    """Make the matrices and return the call that multiplies them into a third."""
    rows, inner, columns = shape
    draw = partial(normal, setting=setting)
    if dtype == "int8":
        by_column = setting.device.type == "cuda"  # cuBLAS has no fast kernel for another order
        sides_of_b = (columns, inner) if by_column else (inner, columns)
        a_MK, b_KN = (
            (16 * draw(*sides, dtype=torch.float32, seed=seed)).clamp(-127, 127).to(torch.int8)
            for seed, sides in enumerate([(rows, inner), sides_of_b])
        )
        b_KN = b_KN.t() if by_column else b_KN
        c_MN = torch.empty(rows, columns, dtype=torch.int32, device=setting.device)
        return lambda: torch._int_mm(a_MK, b_KN, out=c_MN)
    if dtype == "fp8":
        a_MK = draw(rows, inner, dtype=torch.float8_e4m3fn)
        b_KN = draw(columns, inner, dtype=torch.float8_e4m3fn, seed=1).t()  # the kernels want it column by column
        one = torch.ones((), device=setting.device)
        return lambda: torch._scaled_mm(a_MK, b_KN, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    a_MK = draw(rows, inner, dtype=FLOATS[dtype])
    b_KN = draw(inner, columns, dtype=FLOATS[dtype], seed=1)
    c_MN = torch.empty(rows, columns, dtype=FLOATS[dtype], device=setting.device)
    return lambda: torch.mm(a_MK, b_KN, out=c_MN)


def _case(shape: Shape, dtype: str, setting: Setting) -> Case:
    return case_of("matmul", dtype, setting, shape="x".join(map(str, shape)))


def _obstacle(dtype: str, setting: Setting) -> str:
    """Return why there are no products in a format here, or nothing."""
    device = setting.device
    if dtype in FLOATS:
        return native_precisions(device).get(dtype, "unknown here")
    if device.type == "cuda":
        there = torch.cuda.get_device_capability(device)
        if there < NEEDED[dtype]:
            return "needs compute capability {}.{}; this GPU has {}.{}".format(*NEEDED[dtype], *there)
    elif dtype == "fp8" or device.type != "cpu":
        return f"{dtype} products are not native to {device.type}"
    try:
        prepare((SIZES[0],) * 3, dtype, setting)()
    except RuntimeError as error:  # a build of torch may lack the kernel
        return f"torch cannot do it here: {first_line(error)}"
    return ""


def _timed(call: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return max(time.perf_counter() - start, 1e-9)
