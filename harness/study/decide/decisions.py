"""Trials from a sampler: the one place where seeds, numbers and results become candidates.

The rule. A search is a sequence of stretches, numbered as they are decided. What stretch ``j`` is (a new trial with the
sampler's parameters, or an old one that successive halving lets go on) depends on the seed, on the number of the trial
and on the results of the first stretches, as many as :class:`harness.study.decide.lag.Lag` says for ``j``, in the order
of their numbers, and no others: whoever trains them, and however fast, the sequence is the same. Trials of an earlier
part of the run are what they were, whatever rule an earlier version decided them by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import Spec
from harness.study.contract import Report
from harness.study.decide.dominance import Dominance
from harness.study.decide.halving import Halving
from harness.study.decide.idle import is_fitted
from harness.study.decide.lag import lag_of
from harness.study.decide.mirror import Mirror
from harness.study.decide.protocol import Known, Result, Stretch
from harness.study.decide.pruners import halving_of, pruner_name
from harness.study.decide.stagnation import Stagnation
from harness.study.folds import running_means, steps
from harness.study.objectives import Objective


class SampledTrials:
    """The :class:`TrialSource` of a search, of which ``known`` are the trials of earlier parts."""

    def __init__(self, spec: Spec, objectives: Sequence[Objective], known: Sequence[Known]) -> None:
        self._spec = spec
        self._first = objectives[0]
        self._mirror = Mirror(spec, objectives)
        self._halving: Halving | None = halving_of(spec, objectives[0])
        self._dominance = Dominance(objectives, spec.steps) if pruner_name(spec) == "dominated" else None
        self._stagnation = Stagnation(spec.budget.stagnation, objectives)
        self._known = known
        self._lag = lag_of(spec)
        self._params: list[Mapping[str, Any]] = []
        self._decided: list[Stretch] = []
        self._results: dict[int, Result | None] = {}
        """Results that the sampler does not know yet, by stretch."""
        self._revealed = 0
        """Stretches whose results it knows."""
        self._ended = 0
        self._complete = False
        """Whether any trial is."""

    @property
    def prunes(self) -> bool:
        """Whether trials are judged while they are trained."""
        return pruner_name(self._spec) not in ("none", "asha")

    @property
    def stagnation(self) -> str:
        """Why no further trial begins though there may be more, or ``""``."""
        return self._stagnation.reason

    def ask(self, total: int) -> Stretch | None:
        """Decide the next stretch of a search of ``total`` trials; None: nothing to do before another result."""
        if not self._reveal_up_to(self._lag.known(len(self._decided))):
            return None
        stretch = self._decide(total)
        while stretch is None and self._revealed < len(self._decided):
            if not self._reveal_up_to(self._revealed + 1):
                return None
            stretch = self._decide(total)
        if stretch is None and self._ended == len(self._decided):
            stretch = self._finish_best_paused()
        if stretch is not None:
            self._decided.append(stretch)
        return stretch

    def earlier(self, stretch: Stretch) -> Result | None:
        """Return the result of a stretch that an earlier part of the run has trained."""
        result = self._known[stretch.trial].final if stretch.trial < len(self._known) else None
        if result is None or (self._paused(result.record) and result.record.epochs < stretch.until):
            return None
        return self._as_of(result, stretch.until)

    def tell(self, stretch: Stretch, result: Result | None) -> None:
        """Take in how a stretch ended; of one that there is no time for there is nothing to learn."""
        self._results[stretch.number] = result
        self._ended += 1

    def should_prune(self, stretch: Stretch, report: Report, epochs: Sequence[EpochRecord]) -> str:
        """Return why the trial of a stretch is to be pruned after an epoch, or ``""``."""
        trainings, unit, asked = self._spec.evaluation.trainings, "epoch", stretch.params.get("epochs")
        if trainings > 1:
            if not report.finished or report.epoch.fold == trainings:
                return ""
            # Folds are trained to their end, so that shorter trainings have no advantage at the same one.
            epochs, unit, asked = running_means(self._first, epochs)[-1:], "fold", 1
        if self._halving is not None:
            return ""
        if self._dominance is not None:
            return self._dominance.should_prune(epochs, report.figures, horizon=stretch.horizon, asked=asked)
        step, value = epochs[-1].epoch, epochs[-1].validation[self._first.metric]
        if not self._mirror.should_prune(stretch.trial, step, value, horizon=stretch.horizon):
            return ""
        pruner = pruner_name(self._spec)
        return f"{self._first.metric} {value:.4f} at {unit} {step} was stopped ({pruner} pruner)"

    def _decide(self, total: int) -> Stretch | None:
        promoted = self._halving.promote() if self._halving else None
        if promoted is not None:
            return self._go_on(*promoted)
        trial = len(self._params)
        known = self._known[trial] if trial < len(self._known) else None
        if trial >= total or (known is None and self._stagnation.reached):
            return None
        proposal = self._mirror.insert(known.params) if known else self._mirror.ask()
        self._params.append(proposal.params)
        # A fit is no training that could be taken up at a rung.
        until = self._spec.budget.epochs if is_fitted(self._spec.group, proposal.params) else self._first_rung
        return replace(self._go_on(trial, until), proposal=None if known else proposal)

    def _go_on(self, trial: int, until: int) -> Stretch:
        return Stretch(len(self._decided), trial, self._params[trial], until, None, self._revealed - 1)

    def _finish_best_paused(self) -> Stretch | None:
        """At the end of a halving that let no trial come to its last epoch, let the best one go on."""
        if self._halving is None or self._complete:
            return None
        paused = self._halving.best_paused()
        return self._go_on(*paused) if paused else None

    @property
    def _first_rung(self) -> int:
        return self._halving.rungs[0] if self._halving else self._spec.budget.epochs

    def _reveal_up_to(self, count: int) -> bool:
        """Learn the results of the first ``count`` stretches, in their order; return False when one has not ended."""
        while self._revealed < count:
            if self._revealed not in self._results:
                return False
            result = self._results.pop(self._revealed)
            if result is not None:
                self._learn(result)
            self._revealed += 1
        return True

    def _learn(self, result: Result) -> None:
        record = result.record
        epochs = steps(self._spec, self._first, record.outcome, result.epochs)
        self._complete |= record.outcome is Outcome.COMPLETE
        self._stagnation.learn(record)
        self._mirror.tell(record, epochs)
        if self._dominance is not None:
            self._dominance.tell(record, epochs)
        if self._halving is not None and is_fitted(self._spec.group, record.params):
            self._halving.ended(record.trial)
        elif self._halving is not None:
            for rung in self._halving.rungs:
                if len(epochs) >= rung:
                    self._halving.reached(record.trial, rung, self._best(epochs[:rung]))
            if not self._paused(record):
                value = self._best(epochs) if record.outcome is Outcome.COMPLETE else math.nan
                self._halving.reached(record.trial, len(epochs), value)
                self._halving.ended(record.trial)

    def _best(self, epochs: Iterable[EpochRecord]) -> float:
        values = (epoch.validation[self._first.metric] for epoch in epochs)
        return max(values) if self._first.maximize else min(values)

    def _paused(self, record: TrialRecord) -> bool:
        """Tell whether a trial waits at a rung, from where it may go on."""
        return self._halving is not None and record.outcome is Outcome.PRUNED and record.same_as is None

    def _as_of(self, result: Result, until: int) -> Result:
        """Return what was known of a trial when it stood at a rung, if it has gone on since."""
        halving = self._halving
        if halving is None or until >= halving.rungs[-1] or len(result.epochs) <= until:
            return result
        record = replace(result.record, outcome=Outcome.PRUNED, values=(), epochs=until)
        return Result(record, result.epochs[:until])
