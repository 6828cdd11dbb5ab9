"""How batches reach a model: from tensors that lie on the device, or through torch's DataLoader.

One call is an epoch over 8192 samples of 784 floats in shuffled batches of 256, up to the last batch on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.data import DataLoader, TensorDataset

from harness.bench.rows import Case, Row
from harness.bench.workload import Setting, Workload, groups

SAMPLES, FEATURES, CLASSES, BATCH = 8192, 784, 10, 256
WORKERS = (0, 2, 4)


@groups.register("fetch")
def fetch(setting: Setting) -> Iterator[Workload | Row]:
    """Yield an epoch of batches from resident tensors and through loaders with 0, 2 and 4 workers."""
    yield _workload("resident", _resident, setting)
    for workers in WORKERS:
        yield _workload(f"workers={workers}", partial(_loaded, workers), setting)


def _workload(variant: str, prepare: Callable[[Setting], Callable[[], object]], setting: Setting) -> Workload:
    return Workload(
        case=Case(bench="fetch", variant=variant, shape=f"{SAMPLES}x{FEATURES}", batch=BATCH, threads=setting.threads),
        prepare=partial(prepare, setting),
        samples=SAMPLES,
        flush=False,
    )


def _data(setting: Setting) -> TensorDataset:
    generator = torch.Generator().manual_seed(setting.seed)
    x_NF = torch.randn(SAMPLES, FEATURES, generator=generator)
    return TensorDataset(x_NF, torch.randint(CLASSES, (SAMPLES,), generator=generator))


def _resident(setting: Setting) -> Callable[[], None]:
    x_NF, y_N = (tensor.to(setting.device) for tensor in _data(setting).tensors)
    generator = torch.Generator(setting.device).manual_seed(setting.seed)

    def epoch() -> None:
        order_N = torch.randperm(SAMPLES, generator=generator, device=setting.device)
        for rows_B in torch.split(order_N, BATCH):
            x_NF[rows_B], y_N[rows_B]

    return epoch


def _loaded(workers: int, setting: Setting) -> Callable[[], None]:
    cuda = setting.device.type == "cuda"
    loader = DataLoader(
        _data(setting),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=cuda,
        generator=torch.Generator().manual_seed(setting.seed),
    )

    def epoch() -> None:
        for batch in loader:
            for tensor in batch:
                tensor.to(setting.device, non_blocking=cuda)

    return epoch
