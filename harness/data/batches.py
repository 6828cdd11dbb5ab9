"""Batches on the device: from tensors that live there, or streamed from the host when they do not fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from harness.data.augment import augment_images, augment_series, check_augment, draw_table, mix_inputs
from harness.data.part import Part, standardise
from harness.data.room import let_go
from harness.data.seeding import derive_seed
from harness.errors import DataError, InputError
from harness.hardware import free_mib
from harness.records import MIB
from harness.spec.training import Augment

_SHARE = 0.5
"""Of the free memory of the device, what the samples may take; the rest is the model's."""
_AHEAD = 2
"""Batches gathered ahead of the one being trained on."""
_HELD_BYTES = 256 * 2**20
"""Of a mapped file, what may count as this process's memory."""
_WINDOW_BYTES = 64 * 2**10
"""Of a mapped file, what Linux maps around a page that is asked for, where it has it in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sample numbers, epoch by epoch; a shuffled order depends on (seed, epoch, number of samples) alone.

    With ``classes`` each class comes equally often, and the order depends on them too: of a rare class all samples come
    several times, each as often as any other or once more; of a frequent one others are left out of every epoch. The
    last, smaller batch is kept unless ``drop_last``. A shuffled last batch of one sample is left out, because batch
    normalisation has no variance of one value; which sample that is changes with every epoch.
    """

    part_samples: int
    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool
    classes: np.ndarray | None = field(default=None, compare=False)
    """int64 (N,) class codes of the samples, where each class is to come equally often in a shuffled order."""

    @property
    def samples(self) -> int:
        """Samples that one epoch delivers."""
        rest = self.part_samples % self.batch_size
        alone = self.shuffle and rest == 1 and self.part_samples > 1
        return self.part_samples - rest if self.drop_last or alone else self.part_samples

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def rows(self, epoch: int) -> Tensor:
        """Return the sample numbers of an epoch in their order, int64 on the CPU."""
        if not self.shuffle:
            return torch.arange(self.samples)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "shuffle", epoch))
        order_N = torch.randperm(self.part_samples, generator=generator)
        if self.classes is not None:
            order_N = self._balanced(self.classes, generator)[order_N]
        return order_N[: self.samples]

    def _balanced(self, classes: np.ndarray, generator: torch.Generator) -> Tensor:
        """Return as many sample numbers as there are samples, the same number of each class that there is."""
        groups = [torch.from_numpy(np.flatnonzero(classes == code)) for code in np.unique(classes)]
        share, rest = divmod(self.part_samples, len(groups))
        drawn = []
        for place, group in enumerate(groups):
            wanted = share + (place < rest)
            rounds = -(-wanted // len(group))
            shuffled = [group[torch.randperm(len(group), generator=generator)] for _ in range(rounds)]
            drawn.append(torch.cat(shuffled)[:wanted])
        return torch.cat(drawn)


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one step on the device."""

    inputs: tuple[Tensor, ...]
    """What the model is called with."""
    targets: Tensor
    """int64 (B,) class codes, or float32 values, B with the shape of a target."""
    mixed_targets: Tensor | None = None
    """Targets of each sample's partner in mixup or cutmix; None without either."""
    mix: Tensor | None = None
    """float32 (B,) weight of ``targets``; the rest belongs to ``mixed_targets``."""


class Batches(Protocol):
    """A part cut into batches, epoch by epoch."""

    @property
    def samples(self) -> int:
        """Samples that one epoch delivers."""

    @property
    def batch_size(self) -> int:
        """Samples of every batch but perhaps the last."""

    @property
    def path(self) -> str:
        """``resident`` or ``streamed``."""

    @property
    def reason(self) -> str:
        """Why that path."""

    def __len__(self) -> int:
        """Batches of one epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of epoch ``number``, from 1; the same seed and number give the same batches.

        Without shuffling or augmentation they may be views of the stored samples: read them only.
        """


def place(
    part: Part,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
    shuffle: bool,
    augment: Augment | None = None,
    drop_last: bool = False,
    balanced: bool = False,
    memory_limit_mib: float | None = None,
) -> Batches:
    """Put a part on ``device`` when it fits in half of the free memory there, else stream it; the batches are the same.

    ``memory_limit_mib`` takes the place of that half; ``balanced``: each class comes equally often. Raises
    :class:`DataError` when ``augment`` does not fit the task, or when ``drop_last`` leaves no batch, and
    :class:`InputError` for values that are to be balanced.
    """
    if augment == Augment():
        augment = None
    if augment is not None:
        check_augment(augment, part.modality)
    order = Order(
        part_samples=len(part),
        batch_size=batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        classes=classes_of(part) if balanced else None,
    )
    if len(part) and not len(order):
        raise DataError(f"{len(part)} samples make no whole batch of {batch_size}; lower `batch_size`")
    needed = part.placed_bytes / MIB
    limit = free_mib(device) * _SHARE if memory_limit_mib is None else memory_limit_mib
    said = "half of the free memory" if memory_limit_mib is None else "memory_limit_mib"
    if needed <= limit:
        reason = f"{needed:,.1f} MiB of samples fit in {said} of {device} ({limit:,.0f} MiB)"
        return _Placed(order, augment, _Resident(part, device), reason)
    reason = f"{needed:,.1f} MiB of samples exceed {said} of {device} ({limit:,.0f} MiB)"
    return _Placed(order, augment, _Streamed(part, device), reason)


def classes_of(part: Part) -> np.ndarray:
    """Return the class codes by which samples are balanced. Raises :class:`InputError` where there are none."""
    if part.targets.dtype != np.int64 or part.targets.ndim != 1:
        raise InputError("sampling: 'balanced' is for classes, and this task predicts values; use random")
    return part.targets


class _Resident:
    """All samples as tensors on the device, normalised once.

    A shuffled batch is one ``index_select``. Permuting the whole epoch at once and slicing was over 4 times slower on
    a CPU (60,000 x 784 floats in batches of 128: 90 ms against 20 ms an epoch), because the copy fits in no cache;
    for 1,200 rows of 64 it won, by 0.01 ms an epoch.
    """

    path = "resident"

    def __init__(self, part: Part, device: torch.device) -> None:
        self.device = device
        self._tensors = (*part.tensors(device), torch.from_numpy(part.targets).to(device))

    def fetch(self, rows_N: Tensor, batch_size: int, *, in_order: bool) -> Generator[tuple[Tensor, ...]]:
        """Yield, for each batch of sample numbers, the final inputs and, last, the targets."""
        if in_order:
            yield from zip(*(torch.split(tensor[: len(rows_N)], batch_size) for tensor in self._tensors), strict=True)
            return
        for rows_B in torch.split(rows_N.to(self.device), batch_size):
            yield tuple(tensor.index_select(0, rows_B) for tensor in self._tensors)


class _Streamed:
    """Samples stay on the host as they are; a thread gathers a few batches ahead, the device normalises them.

    On the host they lie in memory, or in a file that is mapped where memory does not hold them.
    """

    path = "streamed"

    def __init__(self, part: Part, device: torch.device) -> None:
        self.device = device
        self._arrays = (*part.inputs, part.targets)
        self._scale = part.normalise.tensors(device) if part.normalise is not None else None
        self._held_bytes = 0

    def fetch(self, rows_N: Tensor, batch_size: int, *, in_order: bool) -> Generator[tuple[Tensor, ...]]:
        """Yield, for each batch of sample numbers, the final inputs and, last, the targets."""
        del in_order  # gathering in order costs what gathering out of order costs
        waiting = iter(rows_N.numpy()[start : start + batch_size] for start in range(0, len(rows_N), batch_size))
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:  # ends with the generator
            ahead = deque(pool.submit(self._gather, rows) for rows in islice(waiting, _AHEAD))
            while ahead:
                gathered = ahead.popleft().result()
                ahead.extend(pool.submit(self._gather, rows) for rows in islice(waiting, 1))
                yield self._finish(gathered)

    def _gather(self, rows_B: np.ndarray) -> list[Tensor]:
        """Copy the samples of a batch; NumPy's copy, because torch's would start a second team of threads."""
        gathered = []
        for array in self._arrays:
            host = torch.empty(
                (len(rows_B), *array.shape[1:]),
                dtype=torch.from_numpy(array[:0]).dtype,
                pin_memory=self.device.type == "cuda",
            )
            np.take(array, rows_B, axis=0, out=host.numpy(), mode="clip")  # the other modes copy twice
            gathered.append(host)
            self._held_bytes += host.nbytes + len(rows_B) * _WINDOW_BYTES
        if self._held_bytes > _HELD_BYTES:
            self._held_bytes = 0
            for array in self._arrays:
                let_go(array)
        return gathered

    def _finish(self, gathered: list[Tensor]) -> tuple[Tensor, ...]:
        *inputs, targets = (host.to(self.device, non_blocking=True) for host in gathered)
        if self._scale is not None:
            inputs = [standardise(x_BCHW, *self._scale) for x_BCHW in inputs]
        return (*inputs, targets)


@dataclass(frozen=True, slots=True)
class _Placed:
    order: Order
    augment: Augment | None
    store: _Resident | _Streamed
    reason: str

    @property
    def samples(self) -> int:
        return self.order.samples

    @property
    def batch_size(self) -> int:
        return self.order.batch_size

    @property
    def path(self) -> str:
        return self.store.path

    def __len__(self) -> int:
        return len(self.order)

    def epoch(self, number: int) -> Iterator[Batch]:
        order, augment = self.order, self.augment
        if not len(order):
            return
        rows_N = order.rows(number)
        with closing(self.store.fetch(rows_N, order.batch_size, in_order=not order.shuffle)) as fetched:
            if augment is None:
                for *inputs, targets in fetched:
                    yield Batch(tuple(inputs), targets)
                return
            draws_NK = draw_table(augment, order.part_samples, seed=order.seed, epoch=number)
            draws_NK = draws_NK.index_select(0, rows_N).to(self.store.device)
            for u_BK, (*inputs, targets) in zip(torch.split(draws_NK, order.batch_size), fetched, strict=True):
                yield _augmented(augment, tuple(inputs), targets, u_BK)


def _augmented(augment: Augment, inputs: tuple[Tensor, ...], targets: Tensor, u_BK: Tensor) -> Batch:
    if inputs[0].dim() == 4:
        inputs = (augment_images(augment, inputs[0], u_BK),)
    elif inputs[0].dim() == 3:
        inputs = augment_series(augment, inputs, u_BK)
    if not augment.mixup and not augment.cutmix:
        return Batch(inputs, targets)
    inputs, mix_B = mix_inputs(augment, inputs, u_BK)
    return Batch(inputs, targets, targets.roll(1, 0), mix_B)
