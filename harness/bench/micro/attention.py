"""Scaled dot-product attention with heads of width 64, by whichever kernel torch picks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor
from torch.nn import functional

from harness.bench.micro.data import FLOATS, case_of, floats, normal, traffic
from harness.bench.rows import Row
from harness.bench.workload import Setting, Workload, groups

WIDTH = 64
SIZES = {"cpu": (4, 8, 512), "mps": (8, 8, 1024), "cuda": (8, 16, 2048)}
"""Batch, heads and length of the sequence, by kind of device."""


@groups.register("attention")
def attention(setting: Setting) -> Iterator[Workload | Row]:
    """Yield attention in every native format."""
    sizes = SIZES[setting.device.type]
    dtypes, others = floats(setting, attend(sizes, "fp32", setting).case)
    yield from others
    for dtype in dtypes:
        yield attend(sizes, dtype, setting)


def attend(sizes: tuple[int, int, int], dtype: str, setting: Setting) -> Workload:
    """Return attention of every position to every other; two products of S x S x D multiply-adds for each head."""
    batch, heads, length = sizes
    return Workload(
        case=case_of("attention", dtype, setting, shape=f"{batch}x{heads}x{length}x{WIDTH}", batch=batch),
        prepare=partial(_prepare, (batch, heads, length, WIDTH), dtype, setting),
        samples=batch,
        flops=4.0 * batch * heads * length * length * WIDTH,
        flops_source="formula",
        bytes_moved=traffic(dtype, 4 * batch * heads * length * WIDTH),
    )


def _prepare(shape: tuple[int, int, int, int], dtype: str, setting: Setting) -> Callable[[], Tensor]:
    q_BHSD, k_BHSD, v_BHSD = (normal(*shape, dtype=FLOATS[dtype], setting=setting, seed=seed) for seed in range(3))
    return lambda: functional.scaled_dot_product_attention(q_BHSD, k_BHSD, v_BHSD)
