"""The best trials of a finished run averaged, and scored on the test samples beside the run's final model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.data import Given, Part
from harness.errors import InputError
from harness.plan.running import thread_count
from harness.problems import LOSS, problems
from harness.problems.scoring import Function
from harness.records import Figures
from harness.store import RunFolder, refresh_manifest
from harness.store.files import is_file, read_object
from harness.store.run import STATUS, remember
from harness.store.runs import OPENINGS
from harness.study.averaging.judging import Judge, judge_of, maximized
from harness.study.averaging.library import FEWEST, Library
from harness.study.averaging.making import figures_of, mixed, write_model
from harness.study.averaging.selection import crossed
from harness.study.ensemble.opening import check_finished, open_library
from harness.study.execute.execution import threads_of
from harness.study.final.decision import Losses, compare
from harness.study.final.inference import Inference
from harness.study.final.kept import kept_model
from harness.study.final.mixture import Mixture
from harness.study.final.openings import note_average
from harness.study.final.predictor import Predictor
from harness.study.final.residuals import Kept, residuals
from harness.study.final.retraining import settled_candidate
from harness.study.final.saved import BEST, ENSEMBLE
from harness.study.search import Request, spec_of_run
from harness.study.trial.building import followed_here

SCORE = f"{ENSEMBLE}/score.json"
"""What the average came to."""
SINGLE = "trial"
"""What the best trial alone is called beside the model folders."""
_ERRORS = "averages, each on the half of the validation samples that it was not selected on"
SCHEMA_VERSION = 1
SIZE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be averaged."""

    top: int | None = None
    """Of how many of the best trials; None: of all whose predictions were kept."""
    size: int = SIZE
    """Models in the average at most, each as often as it counts."""
    metric: str = LOSS
    """What is selected by, on validation."""
    device: str = "auto"
    trust: bool = False
    force: bool = False
    """Whether an average that was scored already is replaced, which opens the test samples once more."""
    data: Given | None = None
    metrics: Mapping[str, Function] = field(default_factory=dict)
    """The user's own that the run was given from Python."""

    def __post_init__(self) -> None:
        if self.top is not None and self.top < FEWEST:
            raise InputError(f"--top {self.top}: expected {FEWEST} or more trials")
        if not 1 <= self.size <= 1000:
            raise InputError(f"--size {self.size}: expected 1 to 1000 models")


def average(run: Path, asked: Asked) -> Mapping[str, Any]:
    """Select, build, write and score the average of a run's trials; return what ``ensemble/score.json`` says.

    Where no average is better on validation than the best trial alone, nothing is written and no test sample is looked
    at: ``test`` is None. Raises :class:`InputError`, :class:`DataError` and :class:`StorageError`.
    """
    folder = RunFolder.open(run)
    try:
        if is_file(run / SCORE) and not asked.force:
            raise InputError(
                f"{run / ENSEMBLE}: is there and scored; --force makes it anew, and opens the test samples once more"
            )
        check_finished(run)
        request = Request(
            spec_of_run(run), device=asked.device, trust=asked.trust, data=asked.data, metrics=asked.metrics
        )
        library = open_library(folder, request, top=asked.top)
        with thread_count(threads_of(library.job, 1)):
            return _averaged(library, asked)
    finally:
        folder.close()


def _averaged(library: Library, asked: Asked) -> Mapping[str, Any]:
    job = library.job
    judge = judge_of(job, library.outputs[0])
    maximize = maximized(job, asked.metric)
    cost = judge.cost(asked.metric, maximize=maximize)
    mixture, outputs, notes = mixed(library, cost, asked.size)
    halves = crossed(
        library.outputs,
        lambda rows: judge.cost(asked.metric, maximize=maximize, rows=rows),
        asked.size,
        job.spec.search.seed,
    )
    told = {
        "schema_version": SCHEMA_VERSION,
        "metric": asked.metric,
        "trials": len(library.kept),
        "members": mixture.members,
        "validation": {
            "samples": len(judge.targets),
            "ensemble": float(judge.losses(outputs).mean()),
            "halves": float(judge.losses(halves).mean()),
            "single": float(judge.losses(library.outputs[0]).mean()),
            "single_trial": library.kept[0].record.trial,
        },
        "notes": list(notes),
        "test": None,
    }
    if len(mixture.records) == 1:
        return told
    intervals = problems[job.dataset.shape.kind].intervals
    levels = job.dataset.shape.quantiles
    errors = residuals(_ERRORS, halves, judge.targets, levels) if intervals else None
    temperature = judge.temperature(outputs, job.spec.training.calibration)
    return _scored(library, mixture, temperature, told, errors)


def _scored(
    library: Library, mixture: Mixture, temperature: float, told: dict[str, Any], errors: Kept | None
) -> Mapping[str, Any]:
    """Write the model, score it beside the run's final model in one look, and leave the run sealed."""
    folder, run = library.folder, library.folder.path
    opened = note_average(folder, mixture.records)
    refresh_manifest(run, [STATUS, OPENINGS])
    write_model(library, mixture, temperature, errors)
    test, models = _beside(library)
    score = {**told, "temperature": temperature, "models": models, "test": {"opened": opened, **test}}
    folder.write_json(SCORE, score)
    remember(run, ENSEMBLE)
    return read_object(run / SCORE)


def _beside(library: Library) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the average, the final model and the best trial score on the test samples, and what each takes."""
    looks = {name: _look(library, name) for name in (ENSEMBLE, BEST)} | {SINGLE: _look_at_trial(library)}
    found = {name: compare(looks[ENSEMBLE].losses, looks[name].losses) for name in (BEST, SINGLE)}
    test = {
        "samples": len(looks[BEST].losses),
        "metrics": {name: look.metrics for name, look in looks.items()},
        "differences": {name: asdict(difference) for name, difference in found.items()},
    }
    return test, {name: look.figures for name, look in looks.items()}


class _Look(NamedTuple):
    """What a model does on the test samples."""

    losses: Losses
    metrics: Mapping[str, float]
    figures: Mapping[str, float]


def _look(library: Library, name: str) -> _Look:
    """Look at a model folder of the run."""
    job, run = library.job, library.folder.path
    predictor = Predictor(run, model=name, device=str(job.device), trust=job.trust)
    part = library.dataset.open_test(predictor.preprocessing)
    plan = followed_here(predictor.saved.plan, job.device)
    return _seen(library, part, predictor.answers_of(part), figures_of(library, predictor.model, plan))


def _look_at_trial(library: Library) -> _Look:
    """Look at the best trial alone, as the search left it."""
    job, record = library.job, library.kept[0].record
    model = kept_model(job, library.folder, record, job.dataset, record.seed)
    assert record.plan is not None
    plan, part = followed_here(record.plan, job.device), library.dataset.open_test(job.dataset.preprocessing)
    shape = job.dataset.shape
    outputs = Inference(model, shape, plan, settled_candidate(record).training.loss).outputs(part)
    answers = problems[shape.kind].own_units(outputs, shape)
    return _seen(library, part, answers, figures_of(library, model, plan))


def _seen(library: Library, part: Part, answers: np.ndarray, figures: Figures) -> _Look:
    judge = Judge(library.job.dataset.shape, part.truth, part.truth, library.job.scorer)
    shown = {name: figures.values[name] for name in ("parameters", "latency_p50_ms", "weights_mib")}
    return _Look(judge.losses(answers), _metrics(judge, answers), shown)


def _metrics(judge: Judge, answers: np.ndarray) -> dict[str, float]:
    """Return every metric of the problem and of the user's, as they are defined over all samples."""
    kind, names = judge.shape.kind, tuple(metric.name for metric in problems[judge.shape.kind].metrics)
    scorer = replace(judge.scorer, kind=kind, names=names, target=judge.shape.target)
    return {LOSS: float(judge.losses(answers).mean()), **scorer.measure(judge.truth, answers).values}
