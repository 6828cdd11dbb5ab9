"""The winner trained by its recipe on all samples: for use once the test scores are known, with none of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import nn

from harness.data import Dataset
from harness.errors import InputError, NoSuccessfulTrialError, first_line
from harness.models import Ensemble
from harness.records import Outcome, Plan, TrialRecord
from harness.store import RunFolder
from harness.store.files import read_object
from harness.study.final.mixture import Mixture
from harness.study.final.outcome import Made
from harness.study.final.recipes import Recipe
from harness.study.final.residuals import FILE as RESIDUALS
from harness.study.final.residuals import Kept, read_residuals
from harness.study.final.retraining import FAILURES, Retraining, settled_candidate
from harness.study.final.saved import BEST, FULL, Saved, model_folder, read_saved
from harness.study.final.scoring import remove_model, save_final
from harness.study.job import Job
from harness.study.observer import Observer
from harness.study.stop import Stop


class Trainee(NamedTuple):
    """A candidate that is trained on all samples."""

    record: TrialRecord
    recipe: Recipe
    times: int = 1
    """With how many seeds."""


def trainees_of(run: Path, saved: Saved) -> list[Trainee]:
    """Return what a final model is made of. Raises :class:`InputError` where its run does not say how long it took."""
    made_of = saved.members or (saved,)
    trainees = []
    for each in made_of:
        if each.recipe is None:
            raise InputError(
                f"{run / BEST}: does not say how long its model was trained, as one of an earlier version; search anew"
            )
        record = TrialRecord(
            trial=each.trial,
            outcome=Outcome.COMPLETE,
            reason="chosen by the search",
            candidate=each.candidate.as_dict(),
            params={},
            plan=saved.plan,
        )
        recipe = Recipe("as the final model", each.recipe.schedule, each.recipe.until)
        trainees.append(Trainee(record, recipe, each.ensemble if isinstance(each, Saved) else 1))
    return trainees


def read_winner(run: Path) -> Saved:
    """Return what the run's ``best/`` says of its model. Raises :class:`InputError` where there is none."""
    return read_saved(model_folder(run, BEST) / "candidate.json")


def save_on_all(job: Job, dataset: Dataset, folder: RunFolder, saved: Saved, stop: Stop, observer: Observer) -> None:
    """Train the winner on all samples and write the folder ``full/``; until it is trained nothing is changed.

    ``dataset`` has all samples in its training part. Calibration, threshold and the errors that intervals are made from
    are those of ``best/``, since nothing is left to fit any on. Raises :class:`Interrupted` when asked to stop, and
    :class:`NoSuccessfulTrialError` where the training fails.
    """
    trainees = trainees_of(folder.path, saved)
    observer.final_started("full", sum(each.times * each.recipe.until for each in trainees), "")
    models, plans = list[nn.Module](), list[Plan]()
    try:
        for trainee in trainees:
            retraining = Retraining(job, dataset, trainee.record, stop.check_signal, observer.epoch_ended)
            models += retraining.refits(trainee.recipe, trainee.times, trainee.record.trial)
            plans.append(retraining.plan)
    except FAILURES as error:
        raise NoSuccessfulTrialError(
            f"{folder.path}: the training on all samples failed ({first_line(error)}); its final model is as it was"
        ) from None
    made = replace(
        _averaged(saved, trainees, models, dataset)
        if saved.members
        else _single(job, trainees[0], models, dataset, plans[0]),
        temperature=saved.temperature,
        isotonic=saved.isotonic,
        threshold=saved.threshold,
        residuals=_errors_of(folder.path / BEST, dataset),
    )
    samples, scored = len(dataset.train), read_object(folder.path / "stats.json")["test"] is not None
    stands = f"the test score of {BEST}/ stands for it" if scored else f"{BEST}/ has no test score either"
    note = f"trained on all {samples:,} samples, those of any test part too, so it has no score of its own; {stands}"
    remove_model(folder, FULL)
    candidate = made.mixture.candidate if made.mixture else settled_candidate(trainees[0].record)
    save_final(folder, made, candidate, saved.trial, name=FULL, trained_on=samples, note=note)


def _single(job: Job, trainee: Trainee, models: Sequence[nn.Module], dataset: Dataset, plan: Plan) -> Made:
    """Return the model of one candidate, or the average of several trainings of it."""
    count, shape = len(models), job.model_shape(settled_candidate(trainee.record), dataset)
    model = Ensemble(models, shape) if count > 1 else models[0]
    return Made("refit", trainee.recipe.what, model, plan, dataset, count, recipe=trainee.recipe)


def _averaged(saved: Saved, trainees: Sequence[Trainee], models: Sequence[nn.Module], dataset: Dataset) -> Made:
    """Return the average of candidates, each with its weight."""
    counts = [member.count for member in saved.members]
    model = Ensemble(models, dataset.shape, counts)
    records, recipes = [each.record for each in trainees], [each.recipe for each in trainees]
    mixture = Mixture(records, counts, recipes, model, saved.plan)
    return Made("refit", "average of trials", model, saved.plan, dataset, len(models), mixture=mixture)


def _errors_of(best: Path, dataset: Dataset) -> Kept | None:
    """Return the errors of values that ``best/`` keeps; None of classes, and in a run of an earlier version."""
    target = dataset.shape.target
    if dataset.class_names or target is None or not (best / RESIDUALS).is_file():
        return None
    return read_residuals(best, math.prod(target.shape), target.quantiles)
