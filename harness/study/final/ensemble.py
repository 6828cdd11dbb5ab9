"""What an average of several refits costs, and whether the limits of the space allow it."""

from __future__ import annotations

from torch import nn

from harness.data import TrainingData
from harness.errors import Infeasible, first_line
from harness.models import Ensemble
from harness.plan import prepare
from harness.records import MIB, Figures, Plan, TrialRecord, memory_mib
from harness.study.final.retraining import FAILURES, settled_candidate
from harness.study.job import Job
from harness.study.limits import check, measured
from harness.study.trial.building import build_model, place_evaluation, static_figures
from harness.study.trial.speed import measure_latency


def ensemble_figures(job: Job, dataset: TrainingData, ensemble: nn.Module, plan: Plan) -> Figures:
    """Return parameters, FLOPs and, measured as a trial's, the latency of an ensemble; its weights may be any."""
    prepare(ensemble, device=job.device, layout=plan.layout)
    inputs = next(iter(place_evaluation(dataset.validation, job.device, plan.micro_batch).epoch(1))).inputs
    one = tuple(x[:1] for x in inputs)
    latency = measure_latency(ensemble, one, plan, limit_ms=job.spec.limits.latency_ms)
    return static_figures(job, ensemble) | latency


def broken_limit(job: Job, dataset: TrainingData, winner: TrialRecord, plan: Plan, members: int) -> str:
    """Return which limit an ensemble of so many of the winner would break, before any is trained; else ``""``.

    Its members are trained one after the other, so its memory is what the winner's training took with the weights of
    the others beside it.
    """
    if not any(value is not None for value in job.spec.limits.model_dump().values()):
        return ""
    candidate = settled_candidate(winner)
    try:
        models = [build_model(job, candidate, dataset, seed) for seed in range(members)]
        weights_mib = sum(tensor.nbytes for tensor in models[0].state_dict().values()) / MIB
        memory_mb = memory_mib(winner.figures) + (members - 1) * weights_mib
        check(job.spec.limits, {"memory_mb": memory_mb}, "predicted")
        ensemble = Ensemble(models, job.model_shape(candidate, dataset))
        figures = ensemble_figures(job, dataset, ensemble, plan).values
        check(job.spec.limits, measured(figures, 0), "measured")
    except Infeasible as broken:
        return str(broken)
    except FAILURES as error:
        return first_line(error)
    return ""
