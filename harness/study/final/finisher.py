"""The story of the final model, from the winner's record to its score and its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from harness.data import Dataset, Part, derive_seed
from harness.errors import first_line
from harness.models import Ensemble
from harness.problems import problems
from harness.records import Figures, Plan, TrialRecord
from harness.store import RunFolder
from harness.study.final.cost import (
    epoch_seconds,
    final_cost_epochs,
    members_of,
    refit_cost_epochs,
    rehearsal_epochs,
)
from harness.study.final.decision import KEPT, Decision, Tried
from harness.study.final.ensemble import broken_limit, ensemble_figures
from harness.study.final.inference import Inference
from harness.study.final.kept import kept_model
from harness.study.final.outcome import Cost, Final, Made
from harness.study.final.recipes import Recipe, recipes
from harness.study.final.rehearsal import Rehearsal
from harness.study.final.residuals import residuals
from harness.study.final.retraining import FAILURES, Retraining, settled_candidate
from harness.study.final.scoring import clipped, save_final, score, scorer_of_all
from harness.study.job import Job
from harness.study.observer import Observer
from harness.study.stop import Stop
from harness.study.trial.building import followed_here, training_seed


class Finisher:
    """Makes the final model of a winner and scores it."""

    def __init__(
        self, job: Job, dataset: Dataset, folder: RunFolder, winner: TrialRecord, stop: Stop, observer: Observer
    ) -> None:
        self._job = job
        self._dataset = dataset
        self._folder = folder
        self._winner = winner
        self._candidate = settled_candidate(winner)
        self._stop = stop
        self._observer = observer
        self._notes: list[str] = []
        self._decision: Decision | None = None
        self._rehearsal_s = self._refit_s = 0.0
        self._figures = Figures()
        self.scored_on: tuple[Dataset, Part] | None = None
        """The data of the final model and the test samples, once these were opened: to score others beside it."""

    def finish(self, open_test: Callable[[], int]) -> Final:
        """Make the final model, score it on the test samples, and write ``best/`` and ``predictions.parquet``.

        ``open_test`` is called before the test samples are looked at and returns how often that has been. Raises
        :class:`Interrupted` when asked to stop; the search can then be resumed to do this again.
        """
        final = self._job.final
        if final == "keep":
            self._observer.final_started("keep", 0, "")
            made = self._kept()
        elif final == "refit":
            made = self._refitted(recipes(self._job, self._winner)[0], 1, "") or self._kept()
        else:
            made = self._rehearsed()
        made = self._with_residuals(made)
        self._stop.check_signal()
        opened = open_test()
        part = made.dataset.open_test()
        scorer = scorer_of_all(self._job.scorer, made.dataset.shape.kind)
        result, more, mistakes = score(self._folder, made, part, self._candidate, scorer)
        self.scored_on = made.dataset, part
        self._notes += clipped(made.dataset)
        save_final(self._folder, made, self._candidate, self._winner.trial)
        return Final(
            how=made.how,
            members=made.members,
            temperature=made.temperature,
            note="; ".join(self._notes),
            decision=self._decision.rows(made.what) if self._decision else (),
            cost=Cost(self._rehearsal_s, self._refit_s, self._figures.values),
            metrics={**result.metrics, **more.values},
            reasons=more.reasons,
            details=problems[made.dataset.shape.kind].details(result.quality, made.dataset.class_names),
            mistakes=mistakes,
            opened=opened,
        )

    def keep(self) -> None:
        """Write ``best/`` with the weights that the search left; the test samples stay unopened."""
        save_final(self._folder, self._with_residuals(self._kept()), self._candidate, self._winner.trial)

    def _with_residuals(self, made: Made) -> Made:
        """Return it with the errors of its recipe on validation; where nothing was rehearsed, of the kept weights."""
        if problems[self._dataset.shape.kind].classes:
            return made
        if self._decision:
            found = next(tried.residuals for tried in self._decision.tried if tried.what == made.what)
        else:
            kept, part = made if made.how == "keep" else self._kept(), self._dataset.validation
            inference = Inference(kept.model, self._dataset.shape, kept.plan, self._candidate.training.loss)
            found = residuals(KEPT, inference.outputs(part), part.targets)
        samples = "the validation samples of the last fold" if self._job.folds else "the validation samples"
        return replace(made, residuals=found and replace(found, of=f"{found.of}, on {samples}"))

    def _rehearsed(self) -> Made:
        """Rehearse, and make what the rehearsal speaks for; keep the weights where there is no time for it."""
        job, winner, kept = self._job, self._winner, self._kept()
        members = self._affordable(kept)
        if not members:
            self._observer.final_started("keep", 0, self._notes[-1])
            return kept
        self._observer.final_started("rehearse", rehearsal_epochs(job, winner, members), "")
        start = time.perf_counter()
        rehearsal = Rehearsal(job, self._dataset, winner, self._retraining(self._dataset))
        try:
            self._decision = rehearsal.run(kept.model, kept.plan, members)
        except FAILURES as error:
            self._notes.append(f"the rehearsal failed ({first_line(error)}); the weights of the search were kept")
            return kept
        finally:
            self._rehearsal_s = time.perf_counter() - start
        self._notes += rehearsal.notes
        chosen, why = self._decision.chosen, self._decision.why
        kept = replace(kept, temperature=self._decision.tried[0].temperature)
        if chosen.recipe is not None and self._in_time(chosen):
            refit = self._refitted(chosen.recipe, chosen.members, why, what=chosen.what)
            return replace(refit, temperature=chosen.temperature) if refit else kept
        self._observer.final_started("keep", 0, self._notes[-1] if self._notes else why)
        return kept

    def _affordable(self, kept: Made) -> int:
        """Return of how many models the final one may be made; 0 where not even one can be rehearsed and refitted."""
        members, left_s = members_of(self._job), self._left_s()
        if members > 1 and (broken := broken_limit(self._job, self._dataset, self._winner, kept.plan, members)):
            self._notes.append(f"no average of {members}: {broken}")
            members = 1
        for count in dict.fromkeys((members, 1)):
            needed_s = epoch_seconds(self._winner) * final_cost_epochs(self._job, self._winner, count)
            if not needed_s > left_s:
                return count
            what = f"an average of {count}" if count > 1 else "a refit"
            self._notes.append(
                f"no time for {what}: with its rehearsal it takes up to {_said(needed_s)}, and "
                f"{_said(left_s)} of budget.time are left"
            )
        return 0

    def _in_time(self, chosen: Tried) -> bool:
        needed_s = epoch_seconds(self._winner) * refit_cost_epochs(self._job, self._winner, chosen.members)
        if not needed_s > (left_s := self._left_s()):
            return True
        self._notes.append(
            f"no time for the refit after its rehearsal: it takes up to {_said(needed_s)}, and "
            f"{_said(left_s)} of budget.time are left"
        )
        return False

    def _left_s(self) -> float:
        """Seconds until the command should end; what was set aside for this is part of them."""
        return self._stop.deadline - time.monotonic()

    def _refitted(self, recipe: Recipe, members: int, why: str, *, what: str = "") -> Made | None:
        """Train anew on training and validation samples; None, with a note, where that fails."""
        how = "refit" if members == 1 else "ensemble"
        self._observer.final_started(how, members * recipe.until, why)
        dataset, start = self._dataset.for_refit(), time.perf_counter()
        retraining = self._retraining(dataset)
        try:
            models = [
                model.cpu() if members > 1 else model
                for member in range(members)
                for model in retraining.train(self._seed(member), recipe.schedule, [recipe.until])
            ]
            model = self._averaged(models, retraining.plan) if members > 1 else models[0]
        except FAILURES as error:
            self._notes.append(f"the refit failed ({first_line(error)}); the weights of the search were kept")
            return None
        finally:
            self._refit_s = time.perf_counter() - start
        return Made(how, what, model, retraining.plan, dataset, members)

    def _averaged(self, models: Sequence[nn.Module], plan: Plan) -> Ensemble:
        """Return the average of models, with what using it costs noted."""
        ensemble = Ensemble(models, self._job.model_shape(self._candidate, self._dataset))
        self._figures = ensemble_figures(self._job, self._dataset, ensemble, plan)
        return ensemble

    def _retraining(self, dataset: Dataset) -> Retraining:
        return Retraining(self._job, dataset, self._winner, self._stop.check_signal, self._observer.epoch_ended)

    def _seed(self, member: int) -> int:
        return derive_seed(self._job.spec.search.seed, "refit", self._winner.trial, member)

    def _weights_seed(self) -> int:
        """Return the seed of the weights that the search left: those of the last fold."""
        return training_seed(self._job, self._winner.seed, self._job.trainings)

    def _kept(self) -> Made:
        """Return the model with the weights that the search left."""
        model = kept_model(self._job, self._folder, self._winner, self._dataset, self._weights_seed())
        assert self._winner.plan is not None
        return Made("keep", KEPT, model, followed_here(self._winner.plan, self._job.device), self._dataset)


def _said(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10.0 else f"{max(seconds, 0.0):.2g} s"
