"""One training among those of a stack: what it is alone, but for who takes its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from harness.data import Order, derive_seed
from harness.errors import TrialEnd
from harness.models.families.mlp import MLP
from harness.problems import LOSS
from harness.records import EpochRecord
from harness.spec import Candidate
from harness.train.bookkeeping import Bookkeeping
from harness.train.stack.steps import Step, steps_of
from harness.train.supervised import Supervised, Targets
from harness.train.tally import Sums


class Member(Bookkeeping):
    """The training of one candidate in a stack: it is built, kept and gone on with as a :class:`harness.train.Fit` is.

    ``order`` is that of its training samples. What ends it early, a divergence say, is its :attr:`end`, and nobody
    else's.
    """

    def __init__(
        self,
        recipe: Supervised,
        order: Order,
        *,
        objective: tuple[str, bool],
        epochs: int,
        seed: int,
        trial: int = 0,
    ) -> None:
        super().__init__(
            recipe,
            steps=len(order),
            objective=objective,
            epochs=epochs,
            seed=seed,
            trial=trial,
            drawn={"samples": order.samples, "batch_size": order.batch_size},
        )
        self.order = order
        self.chance = torch.Generator()
        self.end: TrialEnd | None = None
        self._supervised = recipe
        (self._learner,) = recipe.parts.values()
        self._norms: list[Tensor | None] = []
        self._penalties: list[float] = []
        self._own_steps: list[Step] = []

    @property
    def mlp(self) -> MLP:
        """Its model."""
        assert isinstance(self.model, MLP)
        return self.model

    @property
    def targets(self) -> Targets:
        """What it learns."""
        return self._supervised.targets

    @property
    def candidate(self) -> Candidate:
        """What is trained."""
        return self._supervised.candidate

    def bind(self) -> None:
        """Take steps of the parameters that the model has now, down the gradients that they have now."""
        self._own_steps = steps_of(self._learner.optimizers)

    def begin(self) -> Tensor:
        """Begin an epoch; return the numbers of its samples in their order."""
        self._epoch += 1
        self._sums = Sums(self._recipe.parts, epoch=self._epoch, step=self._before)
        self.chance.manual_seed(derive_seed(self._seed, self._epoch))
        return self.order.rows(self._epoch)

    def follow(self, number: int) -> None:
        """Put all that is scheduled to where it is in a step of the epoch, counted from 0."""
        self._learner.follow(self._before + number)

    def descend(self, *, measure: bool) -> None:
        """Take a step down the gradients."""
        self._penalties.append(self._supervised.shrink())
        self._norms.append(self._learner.clip(measure=measure))
        for step in self._own_steps:
            step()

    def count(self, samples: Sequence[int], losses: Sequence[float]) -> None:
        """Take in the samples and losses of the steps since the last time."""
        norms, penalties, self._norms, self._penalties = self._norms, self._penalties, [], []

        def take_in() -> None:
            for size, loss, penalty, measured in zip(samples, losses, penalties, norms, strict=True):
                of_it = {} if measured is None else {"model": measured.tolist()}
                self._sums.count(size, {LOSS: (loss + penalty, size)}, of_it)

        self._unless_ended(take_in)

    def learned(self, quality: Mapping[str, float]) -> None:
        """Take in the quality of the samples as they were seen, when all steps of the epoch are taken."""
        self._train = {**self._sums.means, **quality}
        self._unless_ended(lambda: self._learned(self._train))

    def assessed(self, metrics: Mapping[str, float], scores: Tensor) -> None:
        """Take in what the model is worth on the validation samples, and the scores that it gave them."""

        def take_in() -> None:
            self._validation = self._validated(self._supervised.judged(metrics, scores))

        self._unless_ended(take_in)

    def record(self, train_s: float, validation_s: float) -> EpochRecord:
        """Return the record of the epoch, which took its share of so many seconds; it must not have ended."""
        return self._record(self._sums, self._train, self._validation, train_s, validation_s)

    def _unless_ended(self, take_in: Callable[[], None]) -> None:
        if self.end is None:
            try:
                take_in()
            except TrialEnd as end:
                self.end = end
