"""The average of trials as one model: built, held to the limits of the space, and written as a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from harness.errors import Infeasible
from harness.models import Ensemble
from harness.records import MIB, Figures, Plan, TrialRecord, memory_mib
from harness.store import RunFolder
from harness.study.averaging.library import Library
from harness.study.averaging.selection import Cost, mean_of, select
from harness.study.final.ensemble import ensemble_figures
from harness.study.final.kept import kept_model
from harness.study.final.mixture import Mixture
from harness.study.final.recipes import recipes
from harness.study.final.residuals import FILE as RESIDUALS
from harness.study.final.residuals import Kept
from harness.study.final.saved import ENSEMBLE
from harness.study.final.scoring import facts_of, remove_model, save_weights
from harness.study.job import Job
from harness.study.limits import check, limits_of, measured
from harness.study.trial.building import followed_here


class Mixed(NamedTuple):
    """What was selected."""

    mixture: Mixture
    outputs: NDArray[np.floating]
    """What the members' kept predictions come to."""
    notes: Sequence[str]
    """What was left out for the limits of the space."""


def mixed(library: Library, cost: Cost, size: int) -> Mixed:
    """Return the selected average within the limits of the space.

    An average that breaks a limit gives up its least weighty trial, and what is left is selected from again.
    """
    places, notes = np.arange(len(library.kept)), list[str]()
    while True:
        counts = select(library.outputs[places], cost, size)
        chosen = sorted(np.flatnonzero(counts), key=lambda place: (-counts[place], place))
        records = [library.kept[places[place]].record for place in chosen]
        mixture = mixture_of(library.job, library.folder, records, [int(counts[place]) for place in chosen])
        broken = _broken_limit(library, mixture) if len(chosen) > 1 else ""
        if not broken:
            return Mixed(mixture, mean_of(library.outputs[places[chosen]], counts[chosen]), notes)
        places = np.sort(places[chosen[:-1]])
        notes.append(f"an average of {len(chosen)} trials breaks a limit of the space: {broken}")


def mixture_of(job: Job, folder: RunFolder, records: Sequence[TrialRecord], counts: Sequence[int]) -> Mixture:
    """Return the average of trials whose weights were kept, each of which counts so often."""
    models = [kept_model(job, folder, record, job.dataset, record.seed) for record in records]
    plan = _plan_for([record.plan for record in records if record.plan])
    lengths = [recipes(job, record)[0] for record in records]
    model = Ensemble(models, job.dataset.shape, counts)
    return Mixture(records, counts, lengths, model, followed_here(plan, job.device))


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
    folder, data = library.folder, library.job.dataset
    remove_model(folder, ENSEMBLE)
    save_weights(folder, f"{ENSEMBLE}/model.safetensors", mixture.model.state_dict())
    folder.write_json(f"{ENSEMBLE}/preprocessing.json", data.preprocessing)
    if errors is not None:
        folder.write_json(f"{ENSEMBLE}/{RESIDUALS}", errors.as_dict())
    folder.write_json(
        f"{ENSEMBLE}/candidate.json",
        {
            "trial": mixture.records[0].trial,
            "task": data.name,
            "candidate": mixture.candidate.as_dict(),
            "members": mixture.told(),
            **({"temperature": temperature} if temperature != 1.0 else {}),
            **facts_of(data, mixture.plan),
        },
    )
