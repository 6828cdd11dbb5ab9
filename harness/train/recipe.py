"""What trains is a recipe: parts that learn, how a step is taken, and how good what comes of it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from harness.data import Batch, Batches
from harness.records import Figures, Plan
from harness.train.learner import Learner


class Mean(NamedTuple):
    """A mean over so many things; over several steps it is the mean over all of theirs."""

    value: Tensor
    """Without dimensions, on the device, cut off from the graph."""
    over: Tensor | int
    """Of samples, or of whatever has a part in it (what no mask hides); a tensor if only the device knows."""


class Taken(NamedTuple):
    """What a step leaves on the device, cut off from the graph."""

    means: Mapping[str, Mean]
    """By name, ``loss`` among them."""
    samples: int
    norms: Mapping[str, Tensor]
    """By part the norm of each gradient before clipping, of those that this step measured."""
    kept: tuple[Tensor, ...] = ()
    """What :meth:`Seen.update` takes."""


class Seen(Protocol):
    """The quality of the samples of one epoch as they were seen."""

    def update(self, steps: Sequence[Taken]) -> None:
        """Take in what steps kept."""

    def metrics(self) -> Mapping[str, float]:
        """Return it by name."""


class Recipe(Protocol):
    """Trains something; :class:`harness.train.loop.Fit` goes through the epochs."""

    @property
    def parts(self) -> Mapping[str, Learner]:
        """What learns, by a name without a dot: one part, or several that take turns."""

    @property
    def model(self) -> nn.Module:
        """What comes of it: what is measured on validation, and kept as it is after the best epoch."""

    @property
    def plan(self) -> Plan:
        """How it runs here."""

    @property
    def outputs(self) -> int:
        """Numbers that a step keeps of each sample, which decides how many steps' can wait on the device."""

    @property
    def patience(self) -> int:
        """Epochs in a row without a better one after which it ends; 0: it goes on to its last epoch."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides how it learns, as JSON; that its model is the same is seen from the tensors."""

    def step(self, batch: Batch, *, measure: bool) -> Taken:
        """Take a step, without waiting for the device; ``measure`` gradients if they need not be measured anyway."""

    def seen(self) -> Seen:
        """Return what measures the quality on the training samples of one epoch."""

    def settle(self, batches: Iterable[Batch]) -> None:
        """Make the model fit for use after an epoch, of these batches."""

    def assess(self, batches: Batches) -> Figures:
        """Return metrics of the model on samples that it does not learn from, ``loss`` among them.

        A metric without a value on them is NaN with the reason.
        """

    def remark(self, metrics: Mapping[str, float]) -> str:
        """Return what is to be said at the end of the metrics on the training samples, empty if nothing is."""
