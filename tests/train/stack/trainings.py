"""Trainings of MLPs on small data, alone and in a stack, for the tests of stacks."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from harness import models
from harness.data import Order, Part, place
from harness.problems import problems
from harness.records import NAN, Named, Plan, Target, TaskKind, TaskShape, table_inputs
from harness.spec import Candidate, Training
from harness.train import Fit, Supervised, Targets, outputs_for
from harness.train.randomness import chance
from harness.train.stack import Lengths, Member, Stack

CPU = torch.device("cpu")
OBJECTIVES = {
    TaskKind.CLASSIFICATION: ("accuracy", True),
    TaskKind.REGRESSION: ("rmse", False),
    TaskKind.QUANTILE_REGRESSION: ("pinball", False),
}
CARDINALITIES = (4, 7)
QUANTILES = ((-1.0, 0.0, 1.0), (-1.0, 1.0), (-2.0, -0.5, 0.5, 2.0))
"""Of the first three of five numeric columns; the others are not encoded."""


def candidate(optimizer=("adamw", {"lr": 0.01}), *, schedules=None, batch_size=32, training=None, **architecture):
    """Return an MLP with these parameters, of two layers of 16 units unless told otherwise."""
    return Candidate(
        Named("mlp", {"depth": 2, "width": 16, **architecture}),
        Named(*optimizer),
        training=Training(batch_size=batch_size, **(training or {})),
        **{"schedule": Named("constant"), **(schedules or {})},
    )


@dataclass(frozen=True, eq=False)
class Bench:
    """A task with its samples."""

    shape: TaskShape
    train: Part
    validation: Part

    def recipe(self, of, seed):
        shape = replace(self.shape, outputs=outputs_for(self.shape, of.training.loss))
        with chance(CPU, seed):
            model = models.build(of.architecture, shape, preprocessing=of.training.preprocessing)
        counts = problems[self.shape.kind].class_counts(self.train.targets, self.shape)
        return Supervised(model, of, Targets(self.shape, counts), plan(of.training.batch_size))

    def alone(self, of, seed=0, *, epochs=3, trial=0):
        batches = place(self.train, device=CPU, batch_size=of.training.batch_size, seed=seed, shuffle=True)
        validation = place(self.validation, device=CPU, batch_size=512, seed=0, shuffle=False)
        options = {"objective": OBJECTIVES[self.shape.kind], "epochs": epochs, "seed": seed, "trial": trial}
        return Fit(self.recipe(of, seed), batches, validation, **options)

    def member(self, of, seed=0, *, epochs=3, trial=0):
        size, samples = of.training.batch_size, len(self.train)
        order = Order(part_samples=samples, batch_size=size, seed=seed, shuffle=True, drop_last=False)
        options = {"objective": OBJECTIVES[self.shape.kind], "epochs": epochs, "seed": seed, "trial": trial}
        return Member(self.recipe(of, seed), order, self, **options)

    def stack(self, members):
        return Stack(members, lambda: None)

    def train_all(self, members):
        """Train members to their ends, and return the records of each."""
        records = train_all(self.stack(members))
        return [records[member] for member in members]

    def in_float64(self):
        """Return the same with samples of eight bytes."""
        return replace(self, train=in_float64(self.train), validation=in_float64(self.validation))

    def folds(self, *sizes):
        """Return folds of so many training samples, each with samples and a scale of its own, and for validation 2 K to
        K + 1 samples.
        """
        return [self._fold(number, size, len(sizes)) for number, size in enumerate(sizes)]

    def _fold(self, number, size, count):
        shape, train = self.shape, taken(self.train, (np.arange(size) + 3 * number) % len(self.train))
        if shape.kind is TaskKind.REGRESSION:
            scale = tuple(np.atleast_1d(train.targets.std(axis=0)).astype(float).tolist())
            shape = replace(shape, target=replace(shape.target, scale=scale))
        return Bench(shape, train, taken(self.validation, np.arange(2 * count - number) + number))


def stack_of_folds(members, folds):
    """Return a stack of members that are of these folds, whether there is one of each or not."""
    lengths = Lengths(max(len(fold.train) for fold in folds), max(len(fold.validation) for fold in folds))
    return Stack(members, lambda: None, lengths)


def train_all(stack):
    """Train the members of a stack to their ends, and return the records of each."""
    records = {member: [] for member in stack.members}
    while stack.members:
        for member, record in zip(stack.members, stack.epoch(), strict=True):
            if record is not None:
                records[member].append(record)
        stack.keep([member for member in stack.members if member.end is None and not member.finished])
    return records


def plan(batch_size):
    return Plan(
        device="cpu",
        precision="fp32",
        precision_ratio=NAN,
        precision_reason="a test",
        batch_size=batch_size,
        layout="contiguous",
        layout_reason="",
        data_path="resident",
        data_reason="",
        threads=1,
    )


def taken(part, rows):
    """Return some samples of a part."""
    return Part(tuple(each[rows] for each in part.inputs), part.targets[rows], part.index[rows])


def in_float64(part):
    numbers, *codes = part.inputs
    targets = part.targets if part.targets.dtype == np.int64 else part.targets.astype(np.float64)
    return replace(part, inputs=(numbers.astype(np.float64), *codes), targets=targets)


def bench(kind, *, outputs=1, categories=False, samples=86, quantiles=()):
    """Return a task whose targets depend on its columns; the last batch of 32 is a smaller one."""
    drawn = np.random.default_rng(0)
    numbers = drawn.standard_normal((samples + 40, 5)).astype(np.float32)
    codes = np.stack([drawn.integers(0, count, samples + 40) for count in CARDINALITIES], axis=1)
    signal = numbers[:, 0] - numbers[:, 1] * numbers[:, 2] + 0.3 * codes[:, 0]
    if kind is TaskKind.CLASSIFICATION:
        targets = np.digitize(signal, np.quantile(signal, np.arange(1, outputs) / outputs)).astype(np.int64)
        shape = TaskShape(kind=kind, outputs=outputs, inputs=inputs(categories, numbers, codes))
    else:
        targets = signal.astype(np.float32) if outputs == 1 else np.stack([signal, -(signal**2)], 1).astype(np.float32)
        target = Target(quantiles=quantiles, scale=(1.5,) * outputs)
        shape = TaskShape(kind=kind, outputs=outputs, inputs=inputs(categories, numbers, codes), target=target)
    own = (numbers, codes) if categories else (numbers,)
    first, second = slice(0, samples), slice(samples, None)
    return Bench(
        shape, *(Part(tuple(x[at] for x in own), targets[at], np.arange(len(targets[at]))) for at in (first, second))
    )


def inputs(categories, numbers, codes):
    quantiles = (*QUANTILES, (0.0, 1.0), (0.0, 1.0))
    distribution = tuple(map(tuple, np.quantile(numbers, np.linspace(0.0, 1.0, 9), axis=0).T.tolist()))
    counts = tuple(
        tuple(np.bincount(each, minlength=n)[1:].tolist()) for each, n in zip(codes.T, CARDINALITIES, strict=True)
    )
    return table_inputs(5, CARDINALITIES if categories else (), quantiles, distribution, counts)


def same(first, second):
    """Tell whether two records say the same to the last bit, but for times."""
    untimed = {"train_s": 0.0, "validation_s": 0.0, "train_samples_s": 0.0}
    return repr(replace(first, **untimed)) == repr(replace(second, **untimed))
