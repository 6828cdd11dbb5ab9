"""The winner trained by its recipe on all samples: for use once the test scores are known, with none of its own."""

from __future__ import annotations

import math
from pathlib import Path

from harness.data import Dataset
from harness.errors import InputError, NoSuccessfulTrialError, first_line
from harness.models import Ensemble
from harness.records import Outcome, TrialRecord
from harness.store import RunFolder
from harness.store.files import read_object
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


def recipe_of(run: Path, saved: Saved) -> Recipe:
    """Return how long a final model was trained. Raises :class:`InputError` where its run does not say."""
    if saved.recipe is None:
        raise InputError(
            f"{run / BEST}: does not say how long its model was trained, as one of an earlier version; search anew"
        )
    return Recipe("as the final model", saved.recipe.schedule, saved.recipe.until)


def read_winner(run: Path) -> Saved:
    """Return what the run's ``best/`` says of its model. Raises :class:`InputError` where there is none."""
    return read_saved(model_folder(run, BEST) / "candidate.json")


def save_on_all(job: Job, dataset: Dataset, folder: RunFolder, saved: Saved, stop: Stop, observer: Observer) -> None:
    """Train the winner on all samples and write the folder ``full/``; until it is trained nothing is changed.

    ``dataset`` has all samples in its training part. Calibration, threshold and the errors that intervals are made from
    are those of ``best/``, since nothing is left to fit any on. Raises :class:`Interrupted` when asked to stop, and
    :class:`NoSuccessfulTrialError` where the training fails.
    """
    winner = TrialRecord(
        trial=saved.trial,
        outcome=Outcome.COMPLETE,
        reason="chosen by the search",
        candidate=saved.candidate.as_dict(),
        params={},
        plan=saved.plan,
    )
    recipe, count = recipe_of(folder.path, saved), saved.ensemble
    retraining = Retraining(job, dataset, winner, stop.check_signal, observer.epoch_ended)
    observer.final_started("full", count * recipe.until, "")
    try:
        models = retraining.refits(recipe, count, saved.trial)
    except FAILURES as error:
        raise NoSuccessfulTrialError(
            f"{folder.path}: the training on all samples failed ({first_line(error)}); its final model is as it was"
        ) from None
    candidate = settled_candidate(winner)
    model = Ensemble(models, job.model_shape(candidate, dataset)) if count > 1 else models[0]
    made = Made(
        "refit",
        recipe.what,
        model,
        retraining.plan,
        dataset,
        count,
        temperature=saved.temperature,
        isotonic=saved.isotonic,
        recipe=recipe,
        threshold=saved.threshold,
        residuals=_errors_of(folder.path / BEST, dataset),
    )
    samples, scored = len(dataset.train), read_object(folder.path / "stats.json")["test"] is not None
    stands = f"the test score of {BEST}/ stands for it" if scored else f"{BEST}/ has no test score either"
    note = f"trained on all {samples:,} samples, those of any test part too, so it has no score of its own; {stands}"
    remove_model(folder, FULL)
    save_final(folder, made, candidate, saved.trial, name=FULL, trained_on=samples, note=note)


def _errors_of(best: Path, dataset: Dataset) -> Kept | None:
    """Return the errors of values that ``best/`` keeps; None of classes, and in a run of an earlier version."""
    target = dataset.shape.target
    if dataset.class_names or target is None or not (best / RESIDUALS).is_file():
        return None
    return read_residuals(best, math.prod(target.shape), target.quantiles)
