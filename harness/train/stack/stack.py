"""Several trainings as one program: their products in batches, each with its own samples, chance, rate and end.

Shape legend: K members, B batch, N samples, F numbers, C categorical columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data import Part
from harness.problems import LOSS, Qualities, problems
from harness.records import EpochRecord
from harness.train.stack.member import Member
from harness.train.stack.network import Network
from harness.train.stack.slabs import Buffers, in_slabs
from harness.train.tally import window

CPU = torch.device("cpu")
VALIDATION_BATCH = 512
"""Samples that go through the models at once where nothing is learned."""


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of a part, as the first layers that learn take them."""

    numbers: Tensor
    """``N x F``."""
    codes: Tensor | None
    """``N x C``."""
    targets: Tensor

    @classmethod
    def of(cls, part: Part, member: Member) -> Samples:
        """Return those of a part; what a model makes of numbers and codes without learning is made once."""
        x, *codes = member.seen(part.tensors(CPU))
        numbers_NF = x.flatten(1)
        if member.mlp.numeric is not None:
            numbers_NF = member.mlp.numeric(numbers_NF)
        return cls(numbers_NF, codes[0] if codes else None, torch.from_numpy(part.targets))


class Stack:
    """Trains its members an epoch at a time, on one thread; each has epochs of its own behind it.

    They must have one :func:`stack_key`. Every number of a member is the same whatever others there are.
    """

    def __init__(self, members: Sequence[Member], train: Part, validation: Part, stop: Callable[[], None]) -> None:
        # Those of one activation are neighbours, and go through it together.
        self.members = sorted(members, key=lambda member: str(member.candidate.architecture.params.get("activation")))
        first = members[0]
        self._shape, self._problem = first.targets.shape, problems[first.targets.shape.kind]
        self._train, self._validation = Samples.of(train, first), Samples.of(validation, first)
        self._stop = stop
        self._buffers = Buffers()
        self._network = Network([member.mlp for member in self.members])
        self._begin()

    def keep(self, members: Sequence[Member]) -> None:
        """Go on with these members alone; the models of the others are their own again."""
        if len(members) == len(self.members):
            return
        places = [place for place, member in enumerate(self.members) if member in members]
        self._network.keep(places)
        self.members = [self.members[place] for place in places]
        self._buffers.clear()
        self._begin()

    def epoch(self) -> list[EpochRecord | None]:
        """Train for an epoch and validate; return the record of each member, None where it has ended."""
        begun = time.perf_counter()
        with torch.no_grad():
            self._learn()
            trained = time.perf_counter()
            self._assess()
        share = 1.0 / len(self.members)
        train_s, validation_s = (trained - begun) * share, (time.perf_counter() - trained) * share
        return [member.record(train_s, validation_s) if member.end is None else None for member in self.members]

    def _begin(self) -> None:
        if self.members:
            first = self.members[0]
            self._criterion = self._problem.stacked_criterion(
                self._shape,
                [member.candidate.training for member in self.members],
                class_counts=first.targets.class_counts,
            )
            self._counts_K = torch.zeros(len(self.members), dtype=torch.float32)
            bound = zip(self.members, self._counts_K, strict=True)
            self._steps = [step for member, count in bound for step in member.bind(count)]
            self._scheduled = [member for member in self.members if member.scheduled]
            self._touching = [member for member in self.members if member.touches_gradients]

    def _learn(self) -> None:
        """Take the steps of an epoch."""
        members, order = self.members, self.members[0].order
        rows_KN, chance = torch.stack([member.begin() for member in members]), [member.chance for member in members]
        quality = self._problem.qualities(self._shape, len(members))
        every, steps = window(order.batch_size, self._shape.outputs), len(order)
        taken = _Window()
        for number, rows_KB in enumerate(rows_KN.split(order.batch_size, dim=1)):
            self._stop()
            for member in self._scheduled:
                member.follow(number)
            look = (number + 1) % every == 0 or number + 1 == steps
            numbers_KBF, codes_KBC, targets = self._gathered(rows_KB.flatten())
            outputs_KBO = self._network.forward(numbers_KBF, codes_KBC, chance)
            scores, gradient_KBO = self._criterion.scores(outputs_KBO), self._buffers.get("gradient", outputs_KBO)
            losses_K = self._criterion.training_loss(scores, targets, gradient_KBO)
            self._network.backward(gradient_KBO)
            self._descend(number, measure=look)
            taken.add(number, losses_K, scores, targets)
            if look:
                taken.read(members, self._criterion.predictions, quality)
        for member, metrics in zip(members, quality.metrics(), strict=True):
            member.learned(metrics)

    def _descend(self, number: int, *, measure: bool) -> None:
        """Take a step of each member down its gradients."""
        for member in self.members if measure else self._touching:
            member.touch_gradients(number, measure=measure)
        self._counts_K.add_(1.0)
        for step in self._steps:
            step()

    def _gathered(self, rows_M: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the samples of each member's batch, whose numbers follow each other."""
        models, samples = len(self.members), self._train
        numbers_KBF = samples.numbers.index_select(0, rows_M).unflatten(0, (models, -1))
        numbers_KBF = in_slabs(numbers_KBF, self._buffers)
        codes_KBC = None
        if samples.codes is not None:
            codes_KBC = samples.codes.index_select(0, rows_M).unflatten(0, (models, -1))
        return numbers_KBF, codes_KBC, samples.targets.index_select(0, rows_M).unflatten(0, (models, -1))

    def _assess(self) -> None:
        """Measure all members on the validation samples."""
        models, samples, criterion = len(self.members), self._validation, self._criterion
        quality, losses_K = self._problem.qualities(self._shape, models), torch.zeros(models)
        kept = []
        for start in range(0, len(samples.targets), VALIDATION_BATCH):
            rows = slice(start, start + VALIDATION_BATCH)
            targets = samples.targets[rows]
            codes = None if samples.codes is None else samples.codes[rows].expand(models, -1, -1)
            outputs_KNO = self._network.forward(samples.numbers[rows].expand(models, -1, -1), codes, None)
            scores = criterion.scores(outputs_KNO)
            losses_K += criterion.loss(scores, targets) * len(targets)
            quality.update(criterion.predictions(scores), targets)
            kept.append(scores.clone())
        losses, scores = (losses_K / len(samples.targets)).tolist(), torch.cat(kept, dim=1)
        for place, (member, metrics) in enumerate(zip(self.members, quality.metrics(), strict=True)):
            member.assessed({LOSS: losses[place], **metrics}, scores[place])


class _Window:
    """What steps came to that nobody has looked at yet."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def add(self, number: int, losses_K: Tensor, scores: Tensor, targets: Tensor) -> None:
        self._steps[number] = losses_K, scores.clone(), targets

    def read(self, members: Sequence[Member], predictions: Callable[[Tensor], Tensor], quality: Qualities) -> None:
        losses, scores, targets = zip(*self._steps.values(), strict=True)
        quality.update(predictions(torch.cat(scores, dim=1)), torch.cat(targets, dim=1))
        samples = {number: of_step[2].shape[1] for number, of_step in self._steps.items()}
        for member, own in zip(members, torch.stack(losses).t().tolist(), strict=True):
            member.count(samples, own)
        self._steps = {}
