"""One step of an LSTM cell: small products and much that is not one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from harness.bench.micro.data import FLOATS, case_of, floats, normal, traffic
from harness.bench.rows import Row
from harness.bench.workload import Setting, Workload, groups

SIZES = {"cpu": (64, 256), "mps": (256, 512), "cuda": (512, 1024)}
"""Batch and width, by kind of device."""


@groups.register("lstm_cell")
def lstm_cell(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the step in every native format."""
    batch, width = SIZES[setting.device.type]
    dtypes, others = floats(setting, step(batch, width, "fp32", setting).case)
    yield from others
    for dtype in dtypes:
        yield step(batch, width, dtype, setting)


def step(batch: int, width: int, dtype: str, setting: Setting) -> Workload:
    """Return a forward step of a cell that is as wide as its input: four gates of two products each."""
    return Workload(
        case=case_of("lstm_cell", dtype, setting, shape=f"{batch}x{width}", batch=batch),
        prepare=partial(_prepare, batch, width, dtype, setting),
        samples=batch,
        flops=2.0 * batch * 4 * width * 2 * width,
        flops_source="formula",
        bytes_moved=traffic(dtype, 5 * batch * width, 8 * width * width + 8 * width),
    )


def _prepare(batch: int, width: int, dtype: str, setting: Setting) -> Callable[[], tuple[Tensor, Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        cell = nn.LSTMCell(width, width)
    cell.to(setting.device, FLOATS[dtype]).requires_grad_(False)
    x_BD, h_BD, c_BD = (normal(batch, width, dtype=FLOATS[dtype], setting=setting, seed=seed) for seed in range(3))
    return lambda: cell(x_BD, (h_BD, c_BD))
