"""The trainings of one trial in a stack: one, or one for each fold or seed, which are trained at the same time.

What they come to is told in their order, each training from its first epoch to its last, as if one were trained after
the other: who decides about the trial knows as much at each question as it would then. So a trial that is pruned after
a fold has the epochs up to there, whatever later folds have done by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from harness.errors import StorageError
from harness.records import EpochRecord, Figures
from harness.study.contract import Report
from harness.study.folds import by_fold
from harness.study.trial.carried import Carried, check_epochs
from harness.study.trial.progress import Progress
from harness.train.checkpoint import pack, unpack
from harness.train.stack import Member


class Trainings:
    """Trainings of the trial that ``progress`` is of, with the figures of each one's model before it is trained."""

    def __init__(self, progress: Progress, members: Mapping[Member, Figures]) -> None:
        self.progress = progress
        self.members = list(members)
        self._figures = members
        self._records: dict[Member, list[EpochRecord]] = {member: [] for member in members}
        self._told = 0
        """Epochs of the front that were told."""
        self.samples = 0
        """Trained on in this stretch."""
        progress.figures = members[self.front]

    @property
    def front(self) -> Member:
        """The training that is being told of: those before it were told to their ends."""
        return self.members[self.progress.fold - 1]

    @property
    def learning(self) -> Iterator[Member]:
        """Yield those that have something left to train; after one that ended badly no other counts."""
        for member in self.members:
            if member.end is not None:
                return
            if not member.finished:
                yield member

    def add(self, member: Member, record: EpochRecord) -> None:
        """Take in an epoch of a training."""
        self._records[member].append(replace(record, fold=1 + self.members.index(member)))
        self.samples += member.order.samples

    def tell(self) -> Report | None:
        """Return the next report; None: nothing is known yet that comes next."""
        if self._told == len(self._records[self.front]):
            return None
        record = self._records[self.front][self._told]
        self._told += 1
        self.progress.epochs.append(record)
        return Report(record, self.progress.figures.values, finished=self._told_to_its_end)

    def go_on(self) -> None:
        """Note that the trial goes on after what was told last: with the next training after the end of one."""
        if self._told_to_its_end and self.progress.fold < len(self.members):
            self.progress.fold += 1
            self.progress.figures = self._figures[self.front]
            self._told = 0

    @property
    def _told_to_its_end(self) -> bool:
        front = self.front
        return front.finished and front.end is None and self._told == len(self._records[front])

    def checkpoint(self) -> bytes:
        """Return what all go on from, at the epoch that each has come to. None must have ended badly.

        Of one training it is that training's own checkpoint; of several these are the tensors of one file.
        """
        epochs = [epoch for member in self.members for epoch in self._records[member]]
        facts = replace(self.progress.carry(), epochs=epochs).as_facts()
        if len(self.members) == 1:
            return self.front.checkpoint(facts)
        own = {name: bytearray(member.checkpoint({})) for name, member in self._named().items()}
        return pack({name: torch.frombuffer(each, dtype=torch.uint8) for name, each in own.items()}, {"caller": facts})

    def restore(self, checkpoint: bytes, carried: Carried, *, metric: str) -> None:
        """Go on from a checkpoint; nothing is told yet. Raises :class:`StorageError` where it is none of these."""
        own = [checkpoint] if len(self.members) == 1 else self._cut(checkpoint)
        folds = by_fold(carried.epochs)
        if len(folds) != len(own):
            raise StorageError(
                f"checkpoint is of {len(folds)} trainings, not of {len(own)}; delete it, and its trial starts anew"
            )
        for member, data, epochs in zip(self.members, own, folds, strict=True):
            member.restore(data)
            of_one, trial = replace(carried, epochs=epochs), self.progress.assignment.trial
            check_epochs(of_one, member, trial=trial, metric=metric)
            self._records[member] = list(epochs)

    def _named(self) -> dict[str, Member]:
        """Return the trainings by what their checkpoints are called in that of the trial."""
        return {f"training{number}": member for number, member in enumerate(self.members, start=1)}

    def _cut(self, checkpoint: bytes) -> list[bytes]:
        """Return the checkpoint of each training."""
        tensors, _ = unpack(checkpoint)
        if tensors.keys() != (named := self._named()).keys():
            count = len(self.members)
            raise StorageError(f"checkpoint is not of {count} trainings at once; delete it, and its trial starts anew")
        return [tensors[name].numpy().tobytes() for name in named]
