"""The average of trials as one model: built, held to the limits of the space, and written as a model folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from harness.errors import Infeasible
from harness.models import Ensemble, own_sha256
from harness.records import MIB, Figures, Plan, TrialRecord, memory_mib
from harness.study.averaging.library import Library
from harness.study.averaging.selection import Cost, mean_of, select
from harness.study.final.ensemble import ensemble_figures
from harness.study.final.kept import kept_model
from harness.study.final.residuals import FILE as RESIDUALS
from harness.study.final.residuals import Kept
from harness.study.final.retraining import settled_candidate
from harness.study.final.saved import ENSEMBLE
from harness.study.final.scoring import facts_of, remove_model, save_weights
from harness.study.limits import check, limits_of, measured
from harness.study.trial.building import followed_here


@dataclass(frozen=True, eq=False)
class Mixture:
    """An average of trials."""

    records: Sequence[TrialRecord]
    """Of the members, the weightiest first."""
    counts: Sequence[int]
    model: Ensemble
    plan: Plan
    outputs: NDArray[np.floating]
    """What the members' kept predictions come to."""

    @property
    def members(self) -> list[dict[str, Any]]:
        """Trial and weight of each."""
        whole = sum(self.counts)
        return [
            {
                "trial": record.trial,
                "weight": count / whole,
                "architecture": settled_candidate(record).architecture.name,
            }
            for record, count in zip(self.records, self.counts, strict=True)
        ]


def mixed(library: Library, cost: Cost, size: int) -> tuple[Mixture, list[str]]:
    """Return the selected average within the limits of the space, and what was left out for them.

    An average that breaks a limit gives up its least weighty trial, and what is left is selected from again.
    """
    places, notes = np.arange(len(library.kept)), list[str]()
    while True:
        counts = select(library.outputs[places], cost, size)
        chosen = sorted(np.flatnonzero(counts), key=lambda place: (-counts[place], place))
        mixture = _built(library, [int(places[place]) for place in chosen], [int(counts[place]) for place in chosen])
        broken = _broken_limit(library, mixture) if len(chosen) > 1 else ""
        if not broken:
            return mixture, notes
        places = np.sort(places[chosen[:-1]])
        notes.append(f"an average of {len(chosen)} trials breaks a limit of the space: {broken}")


def _built(library: Library, places: Sequence[int], counts: Sequence[int]) -> Mixture:
    """Return the average of kept models, each of which counts so often."""
    job, data = library.job, library.job.dataset
    kept = [library.kept[place] for place in places]
    records = [each.record for each in kept]
    models = [kept_model(job, library.folder, record, data, record.seed) for record in records]
    outputs = mean_of(library.outputs[list(places)], np.array(counts))
    plan = _plan_for([record.plan for record in records if record.plan])
    return Mixture(records, counts, Ensemble(models, data.shape, counts), followed_here(plan, job.device), outputs)


def _plan_for(plans: Sequence[Plan]) -> Plan:
    """Return how members are run as one program: as the first, in fp32 and contiguous where they differ in that."""
    plan = plans[0]
    if len({each.precision for each in plans}) > 1:
        plan = replace(plan, precision="fp32")
    if len({each.layout for each in plans}) > 1:
        plan = replace(plan, layout="contiguous")
    parts = [each.micro_batch for each in plans if each.micro_batch]
    return replace(plan, micro_batch=min(parts, default=0))


def figures_of(library: Library, model: nn.Module, plan: Plan) -> Figures:
    """Return parameters, FLOPs, latency and the MiB of the weights of a model, measured here and now."""
    weights_mib = sum(tensor.nbytes for tensor in model.state_dict().values()) / MIB
    return ensemble_figures(library.job, library.job.dataset, model, plan) | Figures({"weights_mib": weights_mib})


def _broken_limit(library: Library, mixture: Mixture) -> str:
    """Return which limit of the space an average breaks, else ``""``.

    Its memory is what the largest training took, with the weights of the other members beside it.
    """
    limits = library.job.spec.limits
    if not limits_of(limits):
        return ""
    values = measured(figures_of(library, mixture.model, mixture.plan).values, 0)
    sizes = [sum(tensor.nbytes for tensor in each.state_dict().values()) / MIB for each in mixture.model.members]
    peaks = [memory_mib(record.figures) - size for record, size in zip(mixture.records, sizes, strict=True)]
    values["memory_mb"] = max(peaks) + sum(sizes)
    try:
        check(limits, values, "measured")
    except Infeasible as broken:
        return str(broken)
    return ""


def write_model(library: Library, mixture: Mixture, temperature: float, errors: Kept | None) -> None:
    """Write the model folder, nothing of which is a pickle; an earlier average, and its score, are gone first."""
    folder, data, first = library.folder, library.job.dataset, settled_candidate(mixture.records[0])
    remove_model(folder, ENSEMBLE)
    save_weights(folder, f"{ENSEMBLE}/model.safetensors", mixture.model.state_dict())
    folder.write_json(f"{ENSEMBLE}/preprocessing.json", data.preprocessing)
    if errors is not None:
        folder.write_json(f"{ENSEMBLE}/{RESIDUALS}", errors.as_dict())
    # Its loss is the plain one, whose outputs the average has.
    plain = replace(first, training=first.training.model_copy(update={"loss": "auto"}))
    folder.write_json(
        f"{ENSEMBLE}/candidate.json",
        {
            "trial": mixture.records[0].trial,
            "task": data.name,
            "candidate": plain.as_dict(),
            "members": [_told(*each) for each in enumerate(zip(mixture.records, mixture.counts, strict=True))],
            **({"temperature": temperature} if temperature != 1.0 else {}),
            **facts_of(data, mixture.plan),
        },
    )


def _told(number: int, member: tuple[TrialRecord, int]) -> Mapping[str, Any]:
    """Return what ``candidate.json`` says of a member."""
    record, count = member
    candidate = settled_candidate(record)
    digest = own_sha256(candidate.architecture)
    return {
        "trial": record.trial,
        "candidate": candidate.as_dict(),
        "count": count,
        "weights": f"members.{number}.",
        **({"own_sha256": digest} if digest else {}),
    }
