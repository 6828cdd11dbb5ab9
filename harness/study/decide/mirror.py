"""The study in memory: what samplers and pruners look at.

It is made of parameters, values and epochs only. Whatever else a stored study holds, such as the pickled state of a
sampler, is never read: a sampler that needs its own notes is asked again for the trials of an earlier part, at the same
point between the results, and so writes the same notes again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.pruners import HyperbandPruner, NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from harness.errors import StorageError
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import Spec
from harness.spec.parameters import Scalar
from harness.study.decide.idle import is_fitted
from harness.study.decide.protocol import Proposal
from harness.study.decide.pruners import build_pruner
from harness.study.decide.samplers import build_sampler, needs_replay, sampling
from harness.study.decide.suggest import locate, suggest
from harness.study.limits import UNDESIRABLE, constraints
from harness.study.objectives import Objective

_STATES = {
    Outcome.COMPLETE: TrialState.COMPLETE,
    Outcome.PRUNED: TrialState.PRUNED,
    **dict.fromkeys(UNDESIRABLE, TrialState.PRUNED),
    Outcome.CRASHED: TrialState.FAIL,
    Outcome.TIMEOUT: TrialState.FAIL,
    Outcome.INTERRUPTED: TrialState.RUNNING,
}

_NAME = "harness"
"""Of the study; Hyperband deals its brackets by it."""


class Mirror:
    """A study of trials that are numbered in the order in which they are asked for or inserted."""

    def __init__(self, spec: Spec, objectives: Sequence[Objective]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec = spec
        self._objectives = tuple(objectives)
        self._storage = _Memory()
        self._pruner = build_pruner(spec)
        self._resampled = spec.evaluation.trainings > 1
        # Not the pruner's study: with Hyperband, Optuna would show a sampler no more than one bracket of the trials.
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_NAME,
            directions=[objective.direction for objective in objectives],
            pruner=NopPruner(),
        )
        self._judging = optuna.load_study(storage=self._storage, study_name=_NAME, pruner=self._pruner)
        self._notes: list[dict[str, Any]] = []
        """By trial, what its sampler noted when it was asked."""
        self._compared: dict[tuple[int, int], list[FrozenTrial]] = {}
        """What the pruner compares a trial with, by its number and horizon, while it is trained."""

    def __len__(self) -> int:
        """Return the number of trials, those included that have no result yet."""
        return len(self._notes)

    def ask(self) -> Proposal:
        """Return a new trial, chosen by a sampler that was built for its number."""
        self._study.sampler = build_sampler(self._spec, len(self))
        with sampling(self._spec):
            suggest(self._study.ask(), self._spec.group)
        trial = copy.copy(self._storage.get_trial(len(self)))
        if not needs_replay(self._spec):
            # Other samplers' notes say in advance what the trial's parameters say in the end.
            trial.system_attrs = {}
        self._notes.append(trial.system_attrs)
        self._storage.put(trial)
        return Proposal(dict(trial.params), dict(trial.distributions))

    def insert(self, params: Mapping[str, Scalar]) -> Proposal:
        """Take in a trial that is known, as the next one.

        Raises :class:`StorageError` where its parameters are not a point of the space.
        """
        number = len(self)
        try:
            distributions = locate(self._spec.group, params)
        except ValueError as error:
            raise StorageError(f"trial {number} is not of this space: {error}; was the run folder changed?") from None
        if needs_replay(self._spec):
            self.ask()
        else:
            self._storage.create_new_trial(self._study._study_id)
            self._notes.append({})
        trial = copy.copy(self._storage.get_trial(number))
        trial.params = {path: params[path] for path in distributions}
        trial.distributions = distributions
        self._storage.put(trial)
        return Proposal(dict(trial.params), dict(distributions))

    def tell(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        """Take in a trial's result, in place of all that was known of it."""
        number, first = record.trial, self._objectives[0].metric
        self._compared = {key: others for key, others in self._compared.items() if key[0] != number}
        trial = self._blank(number)
        self._storage.put(trial)
        if isinstance(self._pruner, HyperbandPruner):
            # It notes on a trial at which rungs it stood; it looks at the trial alone, and the verdict is dropped.
            for epoch in epochs:
                self.should_prune(number, epoch.epoch, epoch.validation[first], horizon=-1)
            trial = copy.copy(self._storage.get_trial(number))
        trial.state = _STATES[record.outcome]
        trial.values = list(record.values) if record.outcome is Outcome.COMPLETE else None
        if len(self._objectives) == 1:
            # With several, TPE fails on a pruned trial that has any.
            values = {epoch.epoch: epoch.validation[first] for epoch in epochs}
            trial.intermediate_values = {epoch: value for epoch, value in values.items() if not math.isnan(value)}
        for name, margin in constraints(self._spec.limits, record).items():
            trial.set_constraint(name, margin)
        self._storage.put(trial)

    def should_prune(self, number: int, epoch: int, value: float, *, horizon: int) -> bool:
        """Tell whether to prune a trial after an epoch, with this value of the first objective.

        Where trials have several folds, ``epoch`` is the number of the fold and ``value`` the running mean: the last
        one says more than the best one so far, and stands alone.

        It sees this trial and those up to number ``horizon``, whose results must be known, but none with fewer epochs
        of its own, which has annealed further at the same one. An epoch that is reported again takes the place of the
        earlier report and of all that followed.
        """
        if isinstance(self._pruner, NopPruner) or math.isnan(value):
            return False
        trial = copy.copy(self._storage.get_trial(number))
        if any(reported >= epoch for reported in trial.intermediate_values):
            trial = self._blank(number, {e: v for e, v in trial.intermediate_values.items() if e < epoch})
        trial.intermediate_values = {**({} if self._resampled else trial.intermediate_values), epoch: value}
        self._storage.put(trial)

        if (number, horizon) not in self._compared:
            self._compared[number, horizon] = self._comparable(trial, horizon)
        with self._storage.only([*self._compared[number, horizon], trial]):
            return self._pruner.prune(self._judging, trial)

    def _comparable(self, trial: FrozenTrial, horizon: int) -> list[FrozenTrial]:
        known = self._storage.get_all_trials(self._study._study_id, deepcopy=False)[: horizon + 1]
        epochs, fitted = self._epochs(trial), self._fitted(trial)
        alike = [each for each in known if each.state.is_finished() and self._epochs(each) >= epochs]
        return [each for each in alike if self._resampled or self._fitted(each) == fitted]

    def _fitted(self, trial: FrozenTrial) -> bool:
        """Tell whether a trial's model is fitted: its stages are no epochs of a network."""
        return is_fitted(self._spec.group, trial.params)

    def _epochs(self, trial: FrozenTrial) -> int:
        """Return how many epochs a trial has, as far as the space varies them; 0 where folds are compared."""
        return 0 if self._resampled else trial.params.get("epochs") or self._spec.budget.epochs

    def _blank(self, number: int, reported: Mapping[int, float] = {}) -> FrozenTrial:
        """Return a trial as it was asked for, with nothing but some of its reports."""
        trial = copy.copy(self._storage.get_trial(number))
        trial.state, trial.values = TrialState.RUNNING, None
        trial.intermediate_values = dict(reported)
        trial.system_attrs = dict(self._notes[number])
        return trial


class _Memory(InMemoryStorage):
    """Trials of one study, any of which may be written anew, and from some of which one can look away."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Sequence[FrozenTrial] | None = None

    def put(self, trial: FrozenTrial) -> None:
        """Write a trial in place of the one with its number."""
        self._set_trial(trial._trial_id, trial)

    @contextmanager
    def only(self, seen: Sequence[FrozenTrial]) -> Iterator[None]:
        """Look only at some trials for a while."""
        self._seen = seen
        try:
            yield
        finally:
            self._seen = None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials that can be seen."""
        if self._seen is None:
            return super().get_all_trials(study_id, deepcopy, states)
        seen = [trial for trial in self._seen if states is None or trial.state in states]
        return copy.deepcopy(seen) if deepcopy else seen
