"""The story of the final model, from the winner's record to its score and its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from harness.data import Dataset, Part
from harness.errors import first_line
from harness.measure.threshold import threshold_of
from harness.models import Ensemble
from harness.problems import Undefined, problems
from harness.records import Figures, Plan, TrialRecord
from harness.spec import Blended, Candidate
from harness.store import RunFolder, to_parquet
from harness.study.contract import Helpers
from harness.study.final.beside import Beside
from harness.study.final.cost import (
    beside_each_other,
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
from harness.study.final.mixing import Mixing
from harness.study.final.mixture import Mixer
from harness.study.final.outcome import Cost, Earlier, Final, Made, calibrated_as
from harness.study.final.recipes import Recipe, recipes
from harness.study.final.rehearsal import Rehearsal
from harness.study.final.residuals import Kept, residuals
from harness.study.final.retraining import FAILURES, Retraining, settled_candidate
from harness.study.final.saved import BEST, ENSEMBLE, FULL, VALIDATION
from harness.study.final.scoring import clipped, remove_model, save_final, score, scorer_of_all
from harness.study.job import Job
from harness.study.observer import Observer
from harness.study.stop import Stop
from harness.study.trial.building import followed_here, training_seed


class Finisher:
    """Makes the final model of a winner and scores it."""

    def __init__(
        self,
        job: Job,
        dataset: Dataset,
        folder: RunFolder,
        winner: TrialRecord,
        stop: Stop,
        observer: Observer,
        earlier: Earlier | None = None,
        helpers: Helpers | None = None,
        mixer: Mixer | None = None,
    ) -> None:
        """``earlier``: the final model that is to be made once more.

        ``helpers`` train several at once, ``mixer`` knows the trials for an average of them.
        """
        self._job = job
        self._dataset = dataset
        self._folder = folder
        self._winner = winner
        self._earlier = earlier or Earlier(winner.trial)
        self._candidate = settled_candidate(winner)
        self._stop = stop
        self._observer = observer
        self._helpers = helpers
        self._mixer = mixer
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
        made = self._made()
        opened = open_test()
        part = made.dataset.open_test()
        scorer = scorer_of_all(self._job.scorer, made.dataset.shape)
        scored = score(self._folder, made, part, self._candidate_of(made), scorer)
        self.scored_on = made.dataset, part
        self._notes += clipped(made.dataset)
        self._save(made)
        return Final(
            how=made.how,
            members=made.members,
            trials=made.mixture.members if made.mixture else (),
            temperature=made.temperature,
            isotonic=bool(made.isotonic),
            threshold=scored.threshold,
            note="; ".join(self._notes),
            decision=self._decision.rows(made.what) if self._decision else (),
            cost=Cost(self._rehearsal_s, self._refit_s, self._figures.values),
            metrics={**scored.metrics, **scored.more.values},
            reasons=scored.more.reasons,
            details=scored.details,
            mistakes=scored.mistakes,
            opened=opened,
        )

    def make(self) -> None:
        """Make the final model and write ``best/``, where there are no test samples. Raises :class:`Interrupted`."""
        self._save(self._made())

    def keep(self) -> None:
        """Write ``best/`` with the weights that the search left; the test samples stay unopened."""
        self._save(self._with_validation(self._kept()))

    def _with_validation(self, made: Made) -> Made:
        """Return a model with what was said of validation before it was made, and what follows from that.

        Of values these are the errors, of two classes the threshold that is asked for.
        """
        classes, of = len(made.dataset.class_names), made.what
        if classes != 2 and not problems[made.dataset.shape.kind].intervals:
            return made
        if made.answers is None:
            made, of = replace(made, answers=self._answers(made if made.how == "keep" else self._kept())), KEPT
        return self._with_threshold(made) if classes else replace(made, residuals=self._residuals(made.answers, of))

    def _residuals(self, answers: NDArray[np.floating] | None, of: str) -> Kept | None:
        """Return the errors of values, or quantiles, that were said of validation by what is called ``of``."""
        if answers is None:
            return None
        samples = "the validation samples of the last fold" if self._job.folds else "the validation samples"
        levels = self._dataset.shape.quantiles
        return residuals(f"{of}, on {samples}", answers, self._dataset.validation.targets, levels)

    def _with_threshold(self, made: Made) -> Made:
        """Return a model of two classes with the threshold that is asked for."""
        rule, answers = self._job.spec.training.threshold, made.answers
        if rule is None or answers is None:
            return made
        try:
            return replace(made, threshold=threshold_of(rule, answers[:, 1], self._dataset.validation.targets))
        except Undefined as error:
            self._notes.append(f"no threshold: {error}; the most probable class is predicted")
            return made

    def _answers(self, kept: Made) -> NDArray[np.floating]:
        """Return what the weights that the search left say of validation."""
        inference = Inference(kept.predictor, kept.dataset.shape, kept.plan, self._candidate.training.loss)
        return inference.outputs(self._dataset.validation)

    def _save(self, made: Made) -> None:
        """Write ``best/``; what was refitted on all samples, or scored beside it, was so for an earlier winner."""
        folder, validation = self._folder, self._dataset.validation
        for name in (BEST, FULL, ENSEMBLE):
            remove_model(folder, name)
        if made.answers is not None and len(made.dataset.class_names) == 2:
            shares = {f"probability_{k}": made.answers[:, k].astype(np.float64) for k in (0, 1)}
            told = pd.DataFrame({"index": validation.index, "target": validation.targets, **shares})
            folder.write(VALIDATION, to_parquet(told))
        save_final(folder, made, self._candidate_of(made), self._winner.trial)

    def _candidate_of(self, made: Made) -> Candidate:
        return made.mixture.candidate if made.mixture else self._candidate

    def _made(self) -> Made:
        """Return the final model that was asked for; the test samples stay unopened."""
        final = self._job.final
        if final == "keep":
            self._observer.final_started("keep", 0, "")
            made = self._kept()
        elif isinstance(final, Blended):
            made = self._mixed()
        elif final == "refit" or self._job.continues:  # of forecasts no rehearsal without the last samples tells more
            members = members_of(self._job, self._winner)
            made = self._refitted(recipes(self._job, self._winner)[0], members, "") or self._kept()
        else:
            made = self._rehearsed()
        made = self._with_validation(made)
        self._stop.check_signal()
        return made

    def _mixed(self) -> Made:
        """Average the best trials; keep the weights where that is no better."""
        assert self._mixer is not None, "a search has trials"
        start, kept = time.perf_counter(), self._kept()
        mixing = Mixing(self._job, self._dataset, self._mixer)
        made = mixing.made(kept, self._answers(kept))
        self._decision, self._rehearsal_s = mixing.decision, time.perf_counter() - start
        self._notes += mixing.notes
        if made.mixture is not None:
            self._figures = ensemble_figures(self._job, self._dataset, made.model, made.plan)
        self._observer.final_started(made.how, 0, self._decision.why if self._decision else "; ".join(mixing.notes))
        return made

    def _rehearsed(self) -> Made:
        """Rehearse, and make what the rehearsal speaks for; keep the weights where there is no time for it."""
        job, winner, kept = self._job, self._winner, self._kept()
        members = self._affordable(kept)
        if not members:
            self._observer.final_started("keep", 0, self._notes[-1])
            return kept
        self._observer.final_started("rehearse", rehearsal_epochs(job, winner, members), "")
        start = time.perf_counter()
        rehearsal = Rehearsal(job, self._dataset, winner, self._retraining(self._dataset), self._earlier.trial)
        try:
            self._decision = rehearsal.run(kept.model, kept.plan, members)
        except FAILURES as error:
            self._notes.append(f"the rehearsal failed ({first_line(error)}); the weights of the search were kept")
            return kept
        finally:
            self._rehearsal_s = time.perf_counter() - start
        self._notes += rehearsal.notes
        chosen, why = self._decision.chosen, self._decision.why
        kept = calibrated_as(kept, self._decision.tried[0])
        if chosen.recipe is not None and self._in_time(chosen):
            refit = self._refitted(chosen.recipe, chosen.members, why, what=chosen.what)
            return calibrated_as(refit, chosen) if refit else kept
        self._observer.final_started("keep", 0, self._notes[-1] if self._notes else why)
        return kept

    def _affordable(self, kept: Made) -> int:
        """Return of how many models the final one may be made; 0 where not even one can be rehearsed and refitted."""
        members, left_s = members_of(self._job, self._winner), self._left_s()
        if members > 1 and (broken := broken_limit(self._job, self._dataset, self._winner, kept.plan, members)):
            self._notes.append(f"no average of {members}: {broken}")
            members = 1
        for count in range(members, 0, -1):
            epochs = final_cost_epochs(self._job, self._winner, count, self._at_once)
            needed_s = epoch_seconds(self._winner) * epochs
            if not needed_s > left_s:
                return count
            if count in (members, 1):
                what = f"an average of {count}" if count > 1 else "a refit"
                self._notes.append(
                    f"no time for {what}: with its rehearsal it takes up to {_said(needed_s)}, and "
                    f"{_said(left_s)} of budget.time are left"
                )
        return 0

    def _in_time(self, chosen: Tried) -> bool:
        at_once = self._at_once if beside_each_other(self._job, self._winner.plan) else 1
        epochs = refit_cost_epochs(self._job, self._winner, chosen.members, at_once)
        needed_s = epoch_seconds(self._winner) * epochs
        if not needed_s > (left_s := self._left_s()):
            return True
        self._notes.append(
            f"no time for the refit after its rehearsal: it takes up to {_said(needed_s)}, and "
            f"{_said(left_s)} of budget.time are left"
        )
        return False

    @property
    def _at_once(self) -> int:
        return self._helpers.count if self._helpers else 1

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
            models = retraining.refits(recipe, members, self._earlier.trial)
            model = self._averaged(models, retraining.plan) if members > 1 else models[0]
        except FAILURES as error:
            self._notes.append(f"the refit failed ({first_line(error)}); the weights of the search were kept")
            return None
        finally:
            self._refit_s = time.perf_counter() - start
        return Made(how, what, model, retraining.plan, dataset, members, recipe=recipe)

    def _averaged(self, models: Sequence[nn.Module], plan: Plan) -> Ensemble:
        """Return the average of models, with what using it costs noted."""
        ensemble = Ensemble(models, self._job.model_shape(self._candidate, self._dataset))
        self._figures = ensemble_figures(self._job, self._dataset, ensemble, plan)
        return ensemble

    def _retraining(self, dataset: Dataset) -> Retraining:
        stop, watch = self._stop.check_signal, self._observer.epoch_ended
        if self._helpers is None:
            return Retraining(self._job, dataset, self._winner, stop, watch, self._earlier.plan)
        return Beside(self._job, dataset, self._winner, stop, watch, self._earlier.plan, self._helpers)

    def _weights_seed(self) -> int:
        """Return the seed of the weights that the search left: those of the last fold."""
        return training_seed(self._job, self._winner.seed, self._job.trainings)

    def _kept(self) -> Made:
        """Return the model with the weights that the search left."""
        model = kept_model(self._job, self._folder, self._winner, self._dataset, self._weights_seed())
        assert self._winner.plan is not None
        plan = followed_here(self._winner.plan, self._job.device)
        return Made("keep", KEPT, model, plan, self._dataset, recipe=recipes(self._job, self._winner)[0])


def _said(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10.0 else f"{max(seconds, 0.0):.2g} s"
