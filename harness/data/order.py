"""The order in which an epoch visits the samples of a part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.seeding import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sample numbers, epoch by epoch; a shuffled order depends on (seed, epoch, number of samples) alone.

    The last, smaller batch is kept unless ``drop_last``. A shuffled last batch of one sample is left out, because batch
    normalisation has no variance of one value; which sample that is changes with every epoch.
    """

    part_samples: int
    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool

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
        return torch.randperm(self.part_samples, generator=generator)[: self.samples]
