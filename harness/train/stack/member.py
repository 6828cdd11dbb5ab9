"""One training among those of a stack: what it is alone, but for who takes its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from harness.data import Order, TrainingData, derive_seed
from harness.errors import TrialEnd
from harness.models import Preprocessed
from harness.models.families.mlp import MLP
from harness.problems import LOSS
from harness.records import EpochRecord
from harness.spec import Candidate
from harness.train.bookkeeping import Bookkeeping
from harness.train.stack.steps import Step, steps_of
from harness.train.supervised import Supervised
from harness.train.tally import Sums
from harness.train.targets import Targets


class Member(Bookkeeping):
    """The training of one candidate in a stack: it is built, kept and gone on with as a :class:`harness.train.Fit` is.

    ``data`` are its samples, and ``order`` is that of those for training. What ends it early, a divergence say, is its
    :attr:`end`, and nobody else's.
    """

    def __init__(
        self,
        recipe: Supervised,
        order: Order,
        data: TrainingData,
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
        self.order, self.data = order, data
        self.chance = torch.Generator()
        self.end: TrialEnd | None = None
        self._supervised = recipe
        (self._learner,) = recipe.parts.values()
        self._norms: dict[int, Tensor] = {}
        self._penalties: dict[int, float] = {}

    @property
    def mlp(self) -> MLP:
        """The network that learns, without what scales and codes the columns of a table for it."""
        return _mlp_of(self._learner.module)

    @property
    def average(self) -> MLP | None:
        """The same with the averages of its weights, where these are what is used."""
        return None if self._learner.average is None else _mlp_of(self.model)

    def seen(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return what the network is called with where the model is called with these."""
        if not isinstance(self.model, Preprocessed):
            return inputs
        found: tuple[Tensor, ...] = self.model.inputs(*inputs)
        return found

    @property
    def targets(self) -> Targets:
        """What it learns."""
        return self._supervised.targets

    @property
    def candidate(self) -> Candidate:
        """What is trained."""
        return self._supervised.candidate

    @property
    def scheduled(self) -> bool:
        """Whether anything of it follows a schedule."""
        return self._learner.scheduled

    @property
    def touches_gradients(self) -> bool:
        """Whether it does something with its gradients before each step."""
        return self._learner.clips or self._supervised.penalised

    def bind(self, count: Tensor) -> list[Step]:
        """Return what takes steps of the parameters that the model has now, down the gradients that they have now.

        ``count`` is the number of steps taken, which the stack adds to.
        """
        self._best.look()
        return steps_of(self._learner.optimizers, count)

    def bind_average(self) -> Callable[[int], None] | None:
        """Return what takes the weights into their average after a step of the epoch, counted from 0.

        Weights and averages must stay where they are now. None: it has no average.
        """
        if self._learner.average is None:
            return None
        add = self._learner.average.bound()
        return lambda number: add(self._before + number)

    def settle(self) -> None:
        """Make an average fit for use."""
        self._supervised.settle(())

    def begin(self) -> Tensor:
        """Begin an epoch; return the numbers of its samples in their order."""
        self._epoch += 1
        self._norms, self._penalties = {}, {}
        self._sums = Sums(self._recipe.parts, epoch=self._epoch, step=self._before)
        self.chance.manual_seed(derive_seed(self._seed, self._epoch))
        return self.order.rows(self._epoch)

    def follow(self, number: int) -> None:
        """Put all that is scheduled to where it is in a step of the epoch, counted from 0."""
        self._learner.follow(self._before + number)

    def touch_gradients(self, number: int, *, measure: bool) -> None:
        """Penalise, measure and clip the gradients of a step as far as is asked for."""
        if self._supervised.penalised:
            self._penalties[number] = self._supervised.penalise()
        if (norms := self._learner.clip(measure=measure)) is not None:
            self._norms[number] = norms

    def count(self, samples: Mapping[int, int], losses: Sequence[float]) -> None:
        """Take in steps by their numbers: their samples, and their losses."""

        def take_in() -> None:
            for (number, size), loss in zip(samples.items(), losses, strict=True):
                norms, loss = self._norms.pop(number, None), loss + self._penalties.pop(number, 0.0)
                if norms is None:
                    self._sums.count_loss(size, loss)
                else:
                    self._sums.count(size, {LOSS: (loss, size)}, {"model": norms.tolist()})

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


def _mlp_of(model: nn.Module) -> MLP:
    network = model.network if isinstance(model, Preprocessed) else model
    assert isinstance(network, MLP)
    return network
