"""The samples of several trainings: those that all have in common, or each its own.

Shape legend: K members, B batch, N samples, M samples of several parts, F numbers, C categorical columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from harness.data import TrainingData
from harness.problems.counted import Counted
from harness.train.stack.member import Member
from harness.train.stack.slabs import Buffers, in_slabs

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Lengths:
    """The most samples that any training has of those that may be in one stack, whether it is there or not."""

    epoch: int
    """That an epoch delivers."""
    validation: int


@dataclass(frozen=True, slots=True)
class Samples:
    """One part of the members' data, one data set after the other, as the first layers that learn take it."""

    numbers: Tensor
    """``M x F``."""
    codes: Tensor | None
    """``M x C``."""
    targets: Tensor
    starts: Mapping[TrainingData, int]
    """Where those of each data set begin."""

    @classmethod
    def of(cls, members: Sequence[Member], part: Literal["train", "validation"]) -> Samples:
        """Return those of members; what a model makes of numbers and codes without learning is made once."""
        firsts = {member.data: member for member in members}
        numbers: list[Tensor] = []
        codes: list[Tensor] = []
        targets: list[Tensor] = []
        for data, member in firsts.items():
            own = data.train if part == "train" else data.validation
            x, *columns = member.seen(own.tensors(CPU))
            numbers_NF = x.flatten(1)
            numbers.append(numbers_NF if member.mlp.numeric is None else member.mlp.numeric(numbers_NF))
            codes += columns
            targets.append(torch.from_numpy(own.targets))
        starts = dict(zip(firsts, accumulate(map(len, targets), initial=0), strict=False))
        return cls(_joined(numbers), _joined(codes) if codes else None, _joined(targets), starts)

    def taken(self, rows_KB: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return numbers, codes and targets of the samples that each member is to have, by their places."""
        rows, models = rows_KB.flatten(), len(rows_KB)
        numbers_KBF = in_slabs(self.numbers.index_select(0, rows).unflatten(0, (models, -1)), buffers)
        codes_KBC = None if self.codes is None else self.codes.index_select(0, rows).unflatten(0, (models, -1))
        return numbers_KBF, codes_KBC, self.targets.index_select(0, rows).unflatten(0, (models, -1))

    def shared(self, rows: slice, models: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the same of samples that all members have in common, of which nothing is copied."""
        codes_KBC = None if self.codes is None else self.codes[rows].expand(models, -1, -1)
        return self.numbers[rows].expand(models, -1, -1), codes_KBC, self.targets[rows]


class Filled:
    """Where members have samples of their own: how fewer are filled up to the most, with copies of the last one.

    So the shapes of all steps, and with them every bit of a member, are the same whatever other members there are.
    """

    def __init__(self, members: Sequence[Member], train: Samples, validation: Samples, lengths: Lengths) -> None:
        first = members[0].order
        before = (len(first) - 1) * first.batch_size
        self._starts, self._lengths = train.starts, lengths
        self.last = Counted([member.order.samples - before for member in members], lengths.epoch - before)
        """Of the last step of an epoch."""
        self.sizes = [len(member.data.validation) for member in members]
        """Validation samples of each."""
        last_K1 = torch.tensor(self.sizes).unsqueeze(1) - 1
        starts_K1 = torch.tensor([[validation.starts[member.data]] for member in members])
        self.looked_at_KN = torch.arange(lengths.validation).minimum(last_K1) + starts_K1
        """The places of the validation samples."""

    def rows(self, member: Member, rows_N: Tensor) -> Tensor:
        """Return the places of a member's samples in an epoch, filled up."""
        copies = rows_N[-1:].expand(self._lengths.epoch - len(rows_N))
        return torch.cat([rows_N, copies]) + self._starts[member.data]

    def counted(self, start: int, stop: int) -> Counted:
        """Return which of a batch of validation samples count."""
        return Counted([min(max(size - start, 0), stop - start) for size in self.sizes], stop - start)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
