"""What it takes to start work, whatever the work: many additions of one number, one after the other.

``samples_s`` counts operations. On CUDA a chain is limited by how fast the host can launch; replayed as a graph it is
not. ``waited for`` is one operation and the wait for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from harness.bench.micro.data import normal
from harness.bench.rows import Case, Row, skipped
from harness.bench.workload import Setting, Workload, groups
from harness.measure import synchronize

CHAIN = 200
"""Operations in a row."""


@groups.register("launch")
def launch(setting: Setting) -> Iterator[Workload | Row]:
    """Yield a chain of operations, and one that is waited for."""
    yield _workload("launch", "chain", CHAIN, _chain, setting)
    waited = _workload("launch", "waited for", 1, _waited_for, setting)
    yield waited if setting.device.type != "cpu" else skipped(waited.case, "a CPU runs operations synchronously")


@groups.register("graph_replay")
def graph_replay(setting: Setting) -> Iterator[Workload | Row]:
    """Yield the chain launched and the same chain replayed, in turns."""
    launched = _workload("graph_replay", "launched", CHAIN, _chain, setting)
    replayed = _workload("graph_replay", "replayed", CHAIN, _replayed, setting)
    if setting.device.type == "cuda":
        yield from (launched, replayed)
    else:
        yield skipped(replayed.case, f"graphs are CUDA's; the device is {setting.device.type}")


def _workload(
    bench: str, variant: str, chain: int, prepare: Callable[[int, Setting], Callable[[], object]], setting: Setting
) -> Workload:
    return Workload(
        case=Case(bench=bench, variant=variant, shape=f"{chain} x 1", threads=setting.threads),
        prepare=partial(prepare, chain, setting),
        samples=chain,
        flush=False,
    )


def _chain(chain: int, setting: Setting) -> Callable[[], Tensor]:
    x_1 = normal(1, dtype=torch.float32, setting=setting)

    return partial(_add, x_1, chain)


def _add(x_1: Tensor, chain: int) -> Tensor:
    for _ in range(chain):
        x_1.add_(1.0)
    return x_1


def _waited_for(chain: int, setting: Setting) -> Callable[[], None]:
    work = _chain(chain, setting)

    def call() -> None:
        work()
        synchronize(setting.device)

    return call


def _replayed(chain: int, setting: Setting) -> Callable[[], Tensor]:
    x_1 = normal(1, dtype=torch.float32, setting=setting)
    _add(x_1, chain)
    synchronize(setting.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _add(x_1, chain)

    def call() -> Tensor:
        graph.replay()
        return x_1  # the graph writes to it, and does not keep it alive

    return call
