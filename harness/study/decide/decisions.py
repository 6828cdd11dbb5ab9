"""Trials from a sampler: the one place where seeds, numbers and results become candidates.

The rule. A search is a sequence of stretches, numbered as they are decided. What stretch ``j`` is (a new trial with the
sampler's parameters, or an old one that successive halving lets go on) depends on the seed, on the number of the trial
and on the results told to the samplers before it, in their order. With one worker those are the results of all earlier
stretches. With several they are the ones that have arrived, in the order in which they arrived, which is kept with each
trial. A deterministic search decides stretch ``j`` by the results of stretches ``0 .. j - LAG`` in the order of their
numbers, and no others: whoever trains them, and however fast, the sequence is the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import Spec
from harness.study.contract import Report
from harness.study.decide.dominance import Dominance
from harness.study.decide.halving import Halving
from harness.study.decide.mirror import Mirror
from harness.study.decide.protocol import Known, Result, Stretch
from harness.study.decide.pruners import halving_of, pruner_name
from harness.study.decide.stagnation import Stagnation
from harness.study.folds import running_means, steps
from harness.study.objectives import Objective

LAG = 8
"""How many stretches a deterministic search has under way at most, whatever the number of workers."""


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
        self._lag = LAG if spec.search.deterministic else 0
        self._params: list[Mapping[str, Any]] = []
        self._decided: list[Stretch] = []
        self._results: dict[int, Result] = {}
        """Results that the sampler does not know yet, by stretch."""
        self._revealed = 0
        """Stretches whose results it knows, of a deterministic search."""
        self._ended = 0
        self._complete = False
        """Whether any trial is."""
        self._observed: list[int] = []
        self._open: deque[int] = deque()
        if not self._lag:
            self._retrace()

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
        if self._lag and not self._reveal_up_to(len(self._decided) - self._lag + 1):
            return None
        stretch = self._decide(total)
        while stretch is None and self._lag and self._revealed < len(self._decided):
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

    def tell(self, stretch: Stretch, result: Result) -> None:
        """Take in how a stretch ended."""
        self._results[stretch.number] = result
        self._ended += 1
        if not self._lag:
            self._observe(stretch.number)

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
        if self._open:
            return self._go_on(self._open.popleft(), self._first_rung)
        promoted = self._halving.promote() if self._halving else None
        if promoted is not None:
            return self._go_on(*promoted)
        trial = len(self._params)
        known = self._known[trial] if trial < len(self._known) else None
        if trial >= total or (known is None and self._stagnation.reached):
            return None
        observed, self._observed = tuple(self._observed), []
        proposal = self._mirror.insert(known.params) if known else self._mirror.ask()
        self._params.append(proposal.params)
        new = None if known else proposal
        return replace(self._go_on(trial, self._first_rung), proposal=new, observed=observed)

    def _go_on(self, trial: int, until: int) -> Stretch:
        horizon = self._revealed - 1 if self._lag else None
        return Stretch(len(self._decided), trial, self._params[trial], until, None, (), horizon)

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
        """Have the results of the first ``count`` stretches observed, in their order; False when one has not ended."""
        while self._revealed < count:
            if self._revealed not in self._results:
                return False
            self._observe(self._revealed)
            self._revealed += 1
        return True

    def _observe(self, number: int) -> None:
        result = self._results.pop(number)
        self._observed.append(result.record.trial)
        self._learn(result)

    def _learn(self, result: Result) -> None:
        record = result.record
        epochs = steps(self._spec, self._first, record.outcome, result.epochs)
        self._complete |= record.outcome is Outcome.COMPLETE
        self._stagnation.learn(record)
        self._mirror.tell(record, epochs)
        if self._dominance is not None:
            self._dominance.tell(record, epochs)
        if self._halving is not None:
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

    def _retrace(self) -> None:
        """Go through what an earlier part of the run decided, in the order in which it learned of results."""
        last_observed = {trial: number for number, known in enumerate(self._known) for trial in known.observed}
        for number, known in enumerate(self._known):
            for trial in known.observed:
                if last_observed[trial] == number:
                    self._learn_known(trial)
            proposal = self._mirror.insert(known.params)
            self._params.append(proposal.params)
        for trial, known in enumerate(self._known):
            if known.final is None:
                self._open.append(trial)
            elif trial not in last_observed:
                self._learn_known(trial)
                self._observed.append(trial)

    def _learn_known(self, trial: int) -> None:
        if result := self._known[trial].final:
            self._learn(result)
