"""Trials of a list: to train, to compare, to reproduce. Nothing is sampled and nothing pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import InputError, StorageError
from harness.records import EpochRecord, Plan
from harness.spec import Spec
from harness.spec.parameters import Scalar
from harness.study.contract import Report
from harness.study.decide.protocol import Known, Proposal, Result, Stretch
from harness.study.decide.suggest import locate


@dataclass(frozen=True, slots=True)
class Replicate:
    """A candidate, as a point of the space, and the seed that it is trained with."""

    params: Mapping[str, Scalar]
    seed: int
    """Of its weights and of the order of its samples."""
    split: int | None = None
    """Seed of the split of its samples into training and validation; None: the task's own split."""
    plan: Plan | None = field(default=None, compare=False)
    """How it is trained, where that is known; it is not in the record of a list."""
    pruned_after: int | None = field(default=None, compare=False)
    """Epochs, in all folds together, after which it ends as pruned, since it was; None: it is trained to its end."""


class FixedTrials:
    """A :class:`TrialSource` of these replicates in their order, of which ``known`` were begun by earlier parts.

    A candidate may come several times with other seeds, each a trial with a number of its own; only one that comes
    with the same seed again takes the earlier result.

    Raises :class:`InputError` for parameters that are not a point of the space, and :class:`StorageError` where the
    run began with other ones.
    """

    def __init__(self, spec: Spec, replicates: Sequence[Replicate], known: Sequence[Known] = ()) -> None:
        self._epochs = spec.budget.epochs
        self._replicates = replicates
        self._known = known
        self._asked = 0
        self.prunes = any(replicate.pruned_after is not None for replicate in replicates)
        self._proposals: list[Proposal] = []
        for number, replicate in enumerate(replicates):
            try:
                self._proposals.append(Proposal(dict(replicate.params), locate(spec.group, replicate.params)))
            except ValueError as error:
                raise InputError(f"trial {number} of the list is not of this space: {error}") from None
        listed = [(dict(replicate.params), replicate.seed) for replicate in replicates]
        for number, begun in enumerate(known):
            if listed[number : number + 1] != [(dict(begun.params), begun.seed)]:
                raise StorageError(
                    f"trial {number} of the run is not that of the list; start a new run for another list"
                )

    def ask(self, total: int) -> Stretch | None:
        """Return the next of the list, or of its first ``total``."""
        trial = self._asked
        if trial >= min(total, len(self._replicates)):
            return None
        self._asked += 1
        proposal = self._proposals[trial]
        new = None if trial < len(self._known) else proposal
        listed = self._replicates[trial]
        return Stretch(trial, trial, proposal.params, self._epochs, new, seed=listed.seed, plan=listed.plan)

    def earlier(self, stretch: Stretch) -> Result | None:
        """Return the result of a trial that an earlier part of the run has trained."""
        return self._known[stretch.trial].final if stretch.trial < len(self._known) else None

    def tell(self, stretch: Stretch, result: Result | None) -> None:
        """Nothing follows from a result."""

    def should_prune(self, stretch: Stretch, report: Report, epochs: Sequence[EpochRecord]) -> str:
        """Return that a trial is pruned where the list says so."""
        del report
        after = self._replicates[stretch.trial].pruned_after
        return f"pruned after {after} epochs, as the list says" if after is not None and len(epochs) >= after else ""
