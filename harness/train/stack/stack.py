"""Several trainings as one program: their products in batches, each with its own samples, chance, rate and end.

Members have all samples in common, or some have samples of their own, as the folds of a cross-validation do. Folds
differ in length by a sample or two. Then the last batch of an epoch, and the samples for validation, are filled up to
the most that any fold has, with copies that do not count: their gradients are zero, and batch norms leave them out.

Shape legend: K members, B batch, N samples, O outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from harness.problems import LOSS, Qualities, problems
from harness.problems.counted import Counted
from harness.records import EpochRecord
from harness.train.stack.layers import Learning
from harness.train.stack.member import Member
from harness.train.stack.network import Network
from harness.train.stack.samples import Filled, Lengths, Samples
from harness.train.stack.slabs import Buffers
from harness.train.tally import window

VALIDATION_BATCH = 512
"""Samples that go through the models at once where nothing is learned."""


class Stack:
    """Trains its members an epoch at a time, on one thread; each has epochs of its own behind it.

    They must have one :func:`stack_key`, models with the same shapes, and as many steps in an epoch. Every number of a
    member is the same whatever others there are. ``lengths`` are given where members may have samples of their own.
    """

    def __init__(self, members: Sequence[Member], stop: Callable[[], None], lengths: Lengths | None = None) -> None:
        # Those of one activation are neighbours, and go through it together.
        self.members = sorted(members, key=lambda member: str(member.candidate.architecture.params.get("activation")))
        first = members[0]
        self._shape, self._problem = first.targets.shape, problems[first.targets.shape.kind]
        self._train, self._validation = Samples.of(members, "train"), Samples.of(members, "validation")
        self._stop, self._lengths = stop, lengths
        self._buffers = Buffers()
        self._network = Network([member.mlp for member in self.members])
        averages = [member.average for member in self.members if member.average is not None]
        self._in_use = Network(averages) if averages else self._network
        """What is assessed: the averages of the weights, of all members or of none."""
        self._begin()

    def keep(self, members: Sequence[Member]) -> None:
        """Go on with these members alone; the models of the others are their own again."""
        if len(members) == len(self.members):
            return
        places = [place for place, member in enumerate(self.members) if member in members]
        for network in {self._network, self._in_use}:
            network.keep(places)
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
            self._criterion = self._problem.stacked_criterion(
                [member.targets.shape for member in self.members],
                [member.candidate.training for member in self.members],
                class_counts=[member.targets.class_counts for member in self.members],
            )
            self._counts_K = torch.zeros(len(self.members), dtype=torch.float32)
            bound = zip(self.members, self._counts_K, strict=True)
            self._steps = [step for member, count in bound for step in member.bind(count)]
            self._scheduled = [member for member in self.members if member.scheduled]
            self._touching = [member for member in self.members if member.touches_gradients]
            self._averages = [add for member in self.members if (add := member.bind_average()) is not None]
            self._filled = (
                None if self._lengths is None else Filled(self.members, self._train, self._validation, self._lengths)
            )

    def _learn(self) -> None:
        """Take the steps of an epoch."""
        members, order, filled = self.members, self.members[0].order, self._filled
        rows_KN, chance = torch.stack(self._begun()), [member.chance for member in members]
        quality = self._problem.qualities(self._shape, len(members))
        every, steps = window(order.batch_size, self._shape.outputs), len(order)
        taken = _Window()
        for number, rows_KB in enumerate(rows_KN.split(order.batch_size, dim=1)):
            self._stop()
            for member in self._scheduled:
                member.follow(number)
            look = (number + 1) % every == 0 or number + 1 == steps
            counted = filled.last if filled is not None and number + 1 == steps else None
            numbers_KBF, codes_KBC, targets = self._train.taken(rows_KB, self._buffers)
            outputs_KBO = self._network.forward(numbers_KBF, codes_KBC, Learning(chance, counted))
            scores, gradient_KBO = self._criterion.scores(outputs_KBO), self._buffers.get("gradient", outputs_KBO)
            losses_K = self._criterion.training_loss(scores, targets, gradient_KBO, counted)
            self._network.backward(gradient_KBO)
            self._descend(number, measure=look)
            taken.add(number, losses_K, scores, targets, counted)
            if look:
                taken.read(members, self._criterion.predictions, quality)
        for member, metrics in zip(members, quality.metrics(), strict=True):
            member.learned(metrics)

    def _begun(self) -> list[Tensor]:
        """Begin an epoch of each member; return the places of its samples in their order."""
        if (filled := self._filled) is None:
            return [member.begin() for member in self.members]
        return [filled.rows(member, member.begin()) for member in self.members]

    def _descend(self, number: int, *, measure: bool) -> None:
        """Take a step of each member down its gradients."""
        for member in self.members if measure else self._touching:
            member.touch_gradients(number, measure=measure)
        self._counts_K.add_(1.0)
        for step in self._steps:
            step()
        for add in self._averages:
            add(number)

    def _assess(self) -> None:
        """Measure all members on their validation samples."""
        models, criterion = len(self.members), self._criterion
        quality, losses_K = self._problem.qualities(self._shape, models), torch.zeros(models)
        kept = []
        for member in self.members:
            member.settle()
        for numbers_KBF, codes_KBC, targets, counted in self._looked_at():
            outputs_KBO = self._in_use.forward(numbers_KBF, codes_KBC, None)
            scores = criterion.scores(outputs_KBO)
            samples = outputs_KBO.shape[1] if counted is None else counted.sizes_K
            losses_K += criterion.loss(scores, targets, counted) * samples
            quality.update(criterion.predictions(scores), targets, None if counted is None else counted.mask_KB)
            kept.append(scores.clone())
        scores, measured = torch.cat(kept, dim=1), quality.metrics()
        sizes = [scores.shape[1]] * models if self._filled is None else self._filled.sizes
        losses = (losses_K / torch.tensor(sizes)).tolist()
        for place, (member, size) in enumerate(zip(self.members, sizes, strict=True)):
            member.assessed({LOSS: losses[place], **measured[place]}, scores[place, :size])

    def _looked_at(self) -> Iterator[tuple[Tensor, Tensor | None, Tensor, Counted | None]]:
        """Yield numbers, codes and targets of the validation samples, a batch of each member, and which of them count.

        Targets are ``N`` where all members have the same samples.
        """
        samples, filled = self._validation, self._filled
        if filled is None:
            for start in range(0, len(samples.targets), VALIDATION_BATCH):
                yield *samples.shared(slice(start, start + VALIDATION_BATCH), len(self.members)), None
            return
        start = 0
        for rows_KB in filled.looked_at_KN.split(VALIDATION_BATCH, dim=1):
            counted = filled.counted(start, start + rows_KB.shape[1])
            yield *samples.taken(rows_KB, self._buffers), counted
            start += rows_KB.shape[1]


class _Window:
    """What steps came to that nobody has looked at yet."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[Tensor, Tensor, Tensor, Counted | None]] = {}

    def add(self, number: int, losses_K: Tensor, scores: Tensor, targets: Tensor, counted: Counted | None) -> None:
        self._steps[number] = losses_K, scores.clone(), targets, counted

    def read(self, members: Sequence[Member], predictions: Callable[[Tensor], Tensor], quality: Qualities) -> None:
        losses, scores, targets, counted = zip(*self._steps.values(), strict=True)
        quality.update(predictions(torch.cat(scores, dim=1)), torch.cat(targets, dim=1), _masks(targets, counted))
        for place, (member, own) in enumerate(zip(members, torch.stack(losses).t().tolist(), strict=True)):
            member.count({number: self._size(number, place) for number in self._steps}, own)
        self._steps = {}

    def _size(self, number: int, place: int) -> int:
        """Return how many samples of a step count, of the member at a place."""
        _, _, targets, counted = self._steps[number]
        return targets.shape[1] if counted is None else counted.sizes[place]


def _masks(targets: Sequence[Tensor], counted: Sequence[Counted | None]) -> Tensor | None:
    """Return which samples of steps count; None: all."""
    if not any(counted):
        return None
    whole = [torch.ones(each.shape[:2], dtype=torch.bool) for each in targets]
    masks = [every if each is None else each.mask_KB for every, each in zip(whole, counted, strict=True)]
    return torch.cat(masks, dim=1)
